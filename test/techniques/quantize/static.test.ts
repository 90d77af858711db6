/** Tests the scheme "static": integer arithmetic, layers in float, and the reasons. For exact values see static-golden.test.ts. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { type Dataset, memory } from "../../../src/data/index.ts";
import { fakeQuantize, type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { value } from "../../find.ts";
import {
  calibration,
  cnn,
  type compared,
  difference,
  layerNames,
  mlp,
  numbersFor,
  operators,
  reopened,
  run,
  stored,
} from "./networks.ts";

const data = (name: keyof typeof compared) => memory("calibration", { x: calibration(name) });

test("does not change an input that is also an output", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 4]) -> (x, y: float32[n, 4]) {
  fc.weight: float32[4, 4] = random(seed 1)
  y = MatMul(x, fc.weight)
}`);
  const x = numbersFor([2, 4]);
  await quantize(model, { scheme: "static", data: memory("calibration", { x }) });
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(["x", "y"]);
  expect([...(await run(await reopened(model), { x }))]).toEqual(toNumbers(x));
});

test("calibrates on batches of different lengths", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, length, 4]) -> (y: float32[n, length, 4]) {
  fc.weight: float32[4, 4] = random(seed 1)
  y = MatMul(x, fc.weight)
}`);
  const lengths = [3, 7, 1, 7, 16, 2];
  const data: Dataset = {
    name: "lengths",
    count: undefined,
    async *batches() {
      for (const length of lengths) yield { x: numbersFor([12, length, 4]) };
    },
  };
  const x = numbersFor([2, 5, 4]);
  const expected = await run(model, { x });
  const { changes } = await quantize(model, { scheme: "static", data, biasCorrection: "full" });
  expect(changes).not.toEqual([]);
  expect(difference(await run(await reopened(model), { x }), expected)).toBeLessThan(0.05);
});

test.each(["Identity(h)", "Relu(h)", "MatMul(h, fc.weight)"])("removes an unread node: %s", async (call) => {
  const text = (extra: string): string => `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  fc.weight: float32[4, 4] = random(seed 1)
  h = MatMul(x, fc.weight)
  ${extra}
  y = MatMul(h, fc.weight)
}`;
  const [model, without] = [parseModel(text(`unread = ${call}`)), parseModel(text(""))];
  const x = numbersFor([8, 4]);
  for (const variant of [model, without])
    await quantize(variant, { scheme: "static", data: memory("calibration", { x }) });
  assertValid(model);
  expect(operators(model)).toEqual(operators(without));
  expect(await run(model, { x })).toEqual(await run(without, { x }));
});

describe("a small network", () => {
  test("stays near float, also from a file", async () => {
    const model = cnn();
    const names = layerNames(model);
    const { changes, misses } = await quantize(model, { scheme: "static", data: data("cnn") });
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual([
      "conv1",
      "conv2",
      "conv3",
      "fc",
      'Add "shortcut"',
      'GlobalAveragePool "average"',
    ]);
    expect(layerNames(model)).toEqual(names);
    const x = calibration("cnn");
    expect(difference(await run(cnn(), { x }), await run(model, { x }))).toBeLessThan(0.02);
    expect(await run(await reopened(model), { x })).toEqual(await run(model, { x }));
  });

  test("computes selected layers on integers, and the others in float", async () => {
    const model = mlp();
    const { changes } = await quantize(model, { scheme: "static", layers: "fc2", data: data("mlp") });
    assertValid(model);
    expect(changes.map(({ at }) => at)).toEqual(["fc2", 'Add "y"']);
    expect(model.graph.value("fc1.weight")?.tensor?.type).toBe("float32");
    expect(operators(model)).toContain("Relu");
  });

  test("measures ranges on the given number of samples, selected by the seed", async () => {
    const scaleOf = async (samples: number, seed: number): Promise<number[]> => {
      const model = mlp();
      await quantize(model, { scheme: "static", data: data("mlp"), samples }, { seed });
      return toNumbers(await stored(model, "x_scale"));
    };
    expect(await scaleOf(32, 1)).toEqual(await scaleOf(200, 2));
    expect(await scaleOf(3, 1)).not.toEqual(await scaleOf(32, 1));
    expect(await scaleOf(3, 1)).toEqual(await scaleOf(3, 1));
    expect(await scaleOf(3, 1)).not.toEqual(await scaleOf(3, 2));
  });

  test("has scale 1 for an activation that is always 0", async () => {
    const model = mlp();
    await quantize(model, {
      scheme: "static",
      data: memory("zeros", { x: { ...numbersFor([2, 12]), data: new Float32Array(24) } }),
    });
    expect(toNumbers(await stored(model, "x_scale"))).toEqual([1]);
  });
});

describe("types of activations and weights", () => {
  const x = calibration("cnn");
  const quantizeCnn = async (options: QuantizeOptions) => {
    const model = cnn();
    const outcome = await quantize(model, { scheme: "static", ...options, data: data("cnn") });
    assertValid(model);
    return { model, ...outcome };
  };
  const typeOf = (model: Model, name: string) => model.graph.value(`${name}_zero_point`)?.type?.type;

  test.each([
    [{ activations: "uint16" }, 0.006, 21],
    [{ activations: "int16" }, 0.006, 21],
    [{ bits: 4 }, 0.1, 21],
    [{ perChannel: false, zeroPoints: true }, 0.01, 17],
  ] as const)("%o are near float, with and without optimizations", async (options, most, opset) => {
    const { model } = await quantizeCnn(options);
    expect(model.opsets.get("")).toBe(opset);
    const expected = await run(cnn(), { x });
    for (const optimize of [false, true])
      expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(most);
  });

  test("can be wider in one layer, and then also in shared activations", async () => {
    const { model, changes } = await quantizeCnn({ overrides: { fc: { activations: "uint16" } } });
    expect(changes.find(({ at }) => at === "fc")).toMatchObject({
      what: "inputs as uint16, weight as int8, a scale per output channel",
      decidedBy: "layer",
    });
    expect(["x", "a1", "a2", "g", "y"].map((name) => typeOf(model, name))).toEqual([
      ...["uint8", "uint8", "uint8", "uint16", "uint16"],
    ]);
  });

  test("can be float in one layer", async () => {
    const { model, misses } = await quantizeCnn({ overrides: { conv2: { float: true } } });
    expect(misses).toEqual([expect.objectContaining({ at: "conv2", reason: "stays in float: set by an override" })]);
    expect(model.graph.value("conv2.weight")?.tensor?.type).toBe("float32");
  });

  test("cannot have 2 bits or blocks", async () => {
    for (const options of [{ bits: 2 }, { block: 32 }] as const)
      await expect(quantizeCnn(options)).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

test("folds masks and batch normalization before it measures ranges", async () => {
  const text = `opset 17
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 4, 4, 4]) {
  conv.weight_orig: float32[4, 3, 3, 3] parameter = random(seed 1)
  conv.weight_mask: float32[4, 3, 3, 3] mask = random(seed 9, from 0 to 2)
  scale: float32[4] = random(seed 2, from 0.5 to 2)
  shift: float32[4] = random(seed 3)
  mean: float32[4] = random(seed 4)
  variance: float32[4] = random(seed 5, from 0.5 to 2)
  conv.weight = Mul(conv.weight_orig, conv.weight_mask)
  h = Conv(x, conv.weight)
  n = BatchNormalization(h, scale, shift, mean, variance)
  y = Relu(n)
}`;
  const model = parseModel(text);
  const x = numbersFor([8, 3, 6, 6]);
  await quantize(model, { scheme: "static", data: memory("x", { x }) });
  assertValid(model);
  expect(operators(model).filter((op) => !op.endsWith("Linear"))).toEqual(["Conv"]);
  expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.02);
  expect(layerNames(model)).toEqual(["conv"]);
});

test.each([
  ["keeps a clamp that does not contain 0", "low: float32[] = 1\n  c = Clip(h, low)", ["Clip"]],
  [
    "replaces a clamp around 0 by saturation",
    "low: float32[] = -1\n  high: float32[] = 1\n  c = Clip(h, low, high)",
    [],
  ],
])("%s", async (_, line, kept) => {
  const text = `opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  a.weight: float32[4, 4] = random(seed 1)
  b.weight: float32[4, 4] = random(seed 2)
  h = MatMul(x, a.weight)
  ${line}
  y = MatMul(c, b.weight)
}`;
  const model = parseModel(text);
  const x = numbersFor([64, 4]);
  await quantize(model, { scheme: "static", data: memory("x", { x }) });
  assertValid(model);
  expect(operators(model).filter((op) => op === "Clip")).toEqual(kept);
  expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.02);
});

describe("a clamp is kept if it is needed", () => {
  const codes = Array.from({ length: 80 }, (_, at) => ((at * 37) % 200) - 100);
  const network = (lines: string, bias = 0) => `opset 21
graph (x: float32[n, 12]) -> (y: float32[n, 5]) {
  a.weight: float32[12, 16] = random(seed 1)
  a.bias: float32[16] = [${new Array(16).fill(bias)}]
  b.codes: int8[16, 5] = [${codes}]
  step: float32[] = 0.01
  b.weight: float32[16, 5] = random(seed 2)
  zero: float32[] = 0
  six: float32[] = 6
  h = Gemm(x, a.weight, a.bias)
  ${lines}
}`;
  const x = numbersFor([64, 12]);
  const listClampsAfterQuantization = async (text: string, options: QuantizeOptions = {}) => {
    const model = parseModel(text);
    await quantize(model, { scheme: "static", data: memory("x", { x }), ...options });
    assertValid(model);
    const expected = await run(parseModel(text), { x });
    for (const optimize of [false, true])
      expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(0.03);
    return operators(model).filter((op) => op === "Relu" || op === "Clip");
  };

  describe.each([
    ["c = Relu(h)", ["Relu"]],
    ["c = Clip(h, zero, six)", ["Clip"]],
    ["r = Relu(h)\n  c = Clip(r, zero, six)", ["Clip"]],
  ])("%s", (clamp, expected) => {
    const stored = `${clamp}
  b.stored = DequantizeLinear(b.codes, step)`;

    test.each([{}, { activations: "int8" }, { activations: "uint16" }, { perChannel: false }] as const)(
      "before a layer with an integer weight, %o",
      async (options) => {
        expect(await listClampsAfterQuantization(network(`${stored}\n  y = Gemm(c, b.stored)`), options)).toEqual(
          expected,
        );
      },
    );

    test("before a layer with an integer weight and another with a float weight", async () => {
      const two = `${stored}\n  g = Gemm(c, b.stored)\n  k = Gemm(c, b.weight)\n  y = Add(g, k)`;
      expect(await listClampsAfterQuantization(network(two))).toEqual(expected);
    });

    test("but not if all readers are quantized within its range", async () => {
      expect(await listClampsAfterQuantization(network(`${clamp}\n  y = Gemm(c, b.weight)`))).toEqual([]);
    });
  });

  test("after a slice, before a layer with an integer weight", async () => {
    const picked = `p = Slice(h, ints, sixteen, ones)
  ints: int64[1] = [0]
  sixteen: int64[1] = [16]
  ones: int64[1] = [1]
  c = Relu(p)
  b.stored = DequantizeLinear(b.codes, step)
  y = Gemm(c, b.stored)`;
    expect(await listClampsAfterQuantization(network(picked))).toEqual(["Relu"]);
  });

  test.each([["uint8", []] as const, ["int8", ["Relu"]] as const])(
    "if all its samples are 0, unless the range of %s starts at 0",
    async (activations, expected) => {
      const dead = network("c = Relu(h)\n  y = Gemm(c, b.weight)", -50);
      const model = parseModel(dead);
      await quantize(model, { scheme: "static", data: memory("x", { x }), activations });
      expect(operators(model).filter((op) => op === "Relu")).toEqual(expected);
      expect((await run(model, { x })).every((value) => value === 0)).toBe(true);
    },
  );

  test("if trained scales exceed its range", async () => {
    const trained = async (stretched: number) => {
      const model = parseModel(network("c = Clip(h, zero, six)\n  y = Gemm(c, b.weight)"));
      await fakeQuantize(model, { scheme: "static", data: memory("x", { x }) });
      const scale = value(model, "c_scale");
      const [step = 0] = toNumbers(await stored(model, "c_scale"));
      scale.tensor = inMemory(float32([], [stretched * step]));
      const before = await run(model, { x });
      await quantize(model, { scheme: "static" });
      expect(difference(before, await run(model, { x }))).toBeLessThan(0.02);
      return operators(model).filter((op) => op === "Clip");
    };
    expect(await trained(1)).toEqual([]);
    expect(await trained(4)).toEqual(["Clip"]);
  });
});

describe("a layer with an integer weight reads floats", () => {
  const codes = Array.from({ length: 16 }, (_, at) => ((at * 37) % 200) - 100);
  const near = async (text: string, x: Dense<"float32">, activations: "uint8" | "int8") => {
    const model = parseModel(text);
    await quantize(model, { scheme: "static", data: memory("x", { x }), activations });
    assertValid(model);
    expect(operators(model).filter((op) => op === "QuantizeLinear")).not.toEqual([]);
    const expected = await run(parseModel(text), { x }, { optimize: false });
    for (const optimize of [false, true])
      expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(0.03);
  };

  test.each([
    "MaxPool(h) {kernel_shape=[1, 1]}",
    "Reshape(h, sizes)",
    "Transpose(h) {perm=[0, 1, 3, 2]}",
    "Slice(h, from, to)",
    "Relu(h)",
  ])("after %s in int8, which ONNX Runtime does not load between DequantizeLinear nodes", async (moved) => {
    const text = `opset 21
graph (x: float32[n, 4, 3, 3]) -> (y: float32[n, 4, 3, 3]) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  b.codes: int8[4, 4, 1, 1] = [${codes}]
  step: float32[] = 0.01
  sizes: int64[4] = [-1, 4, 3, 3]
  from: int64[1] = [0]
  to: int64[1] = [9]
  b.weight = DequantizeLinear(b.codes, step)
  h = Conv(x, a.weight)
  m = ${moved}
  y = Conv(m, b.weight)
}`;
    await near(text, numbersFor([8, 4, 3, 3]), "int8");
  });

  test("after a node that moves values, even if only a later node quantizes them", async () => {
    const text = `opset 21
graph (x: float32[n, 4, 3, 3]) -> (m: float32[n, 3, 4, 3], y: float32[n, 4, 3, 3]) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  m = Transpose(x) {perm=[0, 2, 1, 3]}
  y = Conv(x, a.weight)
}`;
    await near(text, numbersFor([8, 4, 3, 3]), "int8");
  });

  test("if its weight is transposed, with scales along an axis", async () => {
    const text = `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  a.weight: float32[4, 4] = random(seed 1)
  b.codes: int8[4, 4] = [${codes}]
  steps: float32[4] = [0.01, 0.02, 0.03, 0.04]
  b.turned = DequantizeLinear(b.codes, steps) {axis=1}
  b.weight = Transpose(b.turned) {perm=[1, 0]}
  h = MatMul(x, a.weight)
  y = MatMul(h, b.weight)
}`;
    for (const activations of ["uint8", "int8"] as const) await near(text, numbersFor([16, 4]), activations);
  });
});

test("lists layers in float between integer ones with the reason", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  a.weight: float32[4, 4] = random(seed 1)
  h = MatMul(x, a.weight)
  t = Tanh "squash" (h)
  y = MatMul "attend" (t, h)
}`);
  const { misses } = await quantize(model, { scheme: "static", data: memory("x", { x: numbersFor([4, 4]) }) });
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
    'Tanh "squash": stays in float: no quantized kernel',
    'MatMul "attend": both operands are activations',
  ]);
});

test("quantizes a factor with many values near 0, whose error is small", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 8]) -> (y) {
  a.weight: float32[8, 8] = random(seed 1, from -4 to 4)
  b.weight: float32[8, 4] = random(seed 2)
  one: float32[] = 1
  h = MatMul(x, a.weight)
  e = Erf(h)
  s = Add "factor" (e, one)
  g = Mul "gate" (h, s)
  y = MatMul(g, b.weight)
}`);
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x: numbersFor([64, 8]) }) });
  expect(changes.map(({ at }) => at)).toContain('Mul "gate"');
});

test.each([
  ["Add", ["MaxPool", "Add", "Add"]],
  ["shortcut", ["MaxPool", "Add"]],
  ["poo*", ["MaxPool"]],
  ["/second/Conv", ["MaxPool", "Conv"]],
])("keeps nodes that `except` names in float, with unrounded operands: %s", async (except, expected) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 4, 6, 6]) -> (y) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  b.weight: float32[4, 4, 1, 1] = random(seed 2)
  c.weight: float32[4, 4, 1, 1] = random(seed 3)
  h = Conv "/first/Conv" (x, a.weight)
  p = MaxPool "pool" (h) {kernel_shape=[1, 1]}
  i = Conv "/second/Conv" (p, b.weight)
  s = Add "shortcut" (i, p)
  t = Add "again" (s, p)
  y = Conv "/third/Conv" (t, c.weight)
}`);
  await quantize(model, { scheme: "static", except, data: memory("x", { x: numbersFor([4, 4, 6, 6]) }) });
  assertValid(model);
  const isFloat = (value: Value | undefined): boolean =>
    value?.type?.type === "float32" && value.producer?.op !== "DequantizeLinear";
  const float = [...model.graph.nodes()].filter(({ op, inputs: [input] }) => !/Linear$/.test(op) && isFloat(input));
  expect(float.map(({ op }) => op)).toEqual(expected);
  const unknown = quantize(model.clone(), { scheme: "static", except: "Softmax" });
  await expect(unknown).rejects.toMatchObject({ code: "E_NAME" });
});

describe("padding", () => {
  const padded = (pads: string, more = "") => `opset 17
graph (x: float32[batch, 4, 6, 6]) -> (y: float32[batch, 4, h, w]) {
  a.weight: float32[4, 4, 3, 3] = random(seed 1)
  b.weight: float32[4, 4, 3, 3] = random(seed 2)
  pads: int64[8] = [0, 0, ${pads}, 0, 0, ${pads}]
  filler: float32[] = 3
  none: float32[] = 0
  h = Conv(x, a.weight)
  p = Pad(h, pads${more}
  y = Conv(p, b.weight)
}`;
  const x = numbersFor([8, 4, 6, 6]);
  const quantized = async (text: string, activations: "uint8" | "int8" = "uint8") => {
    const model = parseModel(text);
    const outcome = await quantize(model, { scheme: "static", activations, data: memory("x", { x }) });
    assertValid(model);
    return { model, ...outcome };
  };

  test.each([
    ["of zeros is merged into the convolution", ")", []],
    ["of explicit zeros is merged into the convolution", ", none)", []],
    ["by reflection runs on integers", ') {mode="reflect"}', ["Pad"]],
    ["by the edge runs on integers", ') {mode="edge"}', ["Pad"]],
  ])("%s", async (_, more, kept) => {
    const text = padded("1, 1", more);
    for (const activations of ["uint8", "int8"] as const) {
      const { model, misses } = await quantized(text, activations);
      expect(misses).toEqual([]);
      const pads = [...model.graph.nodes()].filter(({ op }) => op === "Pad");
      expect(pads.map(({ op }) => op)).toEqual(kept);
      for (const { inputs } of pads) expect(inputs[0]?.type?.type).toBe(activations);
      for (const optimize of [false, true])
        expect(difference(await run(parseModel(text), { x }), await run(model, { x }, { optimize }))).toBeLessThan(
          0.03,
        );
    }
  });

  test("16 bits resolve an outlier that 8 bits do not", async () => {
    const text = `opset 21
graph (x: float32[batch, 16]) -> (y: float32[batch, 8]) {
  a.weight: float32[16, 16] = random(seed 1)
  b.weight: float32[16, 8] = random(seed 2)
  far: float32[16] = [3e4, ${new Array(15).fill(0).join(", ")}]
  h = MatMul "a" (x, a.weight)
  t = Tanh(h)
  k = Add(t, far)
  y = MatMul "b" (k, b.weight)
}`;
    const quantized = async (activations: "uint8" | "uint16") => {
      const options = { scheme: "static", activations, equalize: false, biasCorrection: "none" } as const;
      const data = memory("x", { x: numbersFor([32, 16]) });
      return (await quantize(parseModel(text), { ...options, data })).changes.map(({ at }) => at);
    };
    expect(await quantized("uint8")).not.toContain("b");
    expect(await quantized("uint16")).toContain("b");
  });

  test("runs in float for 16-bit values, which ONNX Runtime does not pad", async () => {
    const text = padded("1, 1", ') {mode="edge"}').replace("= Pad(h, pads)) {", "= Pad(h, pads) {");
    const model = parseModel(text);
    await quantize(model, { scheme: "static", activations: "uint16", data: memory("x", { x }) });
    for (const optimize of [false, true])
      expect(difference(await run(parseModel(text), { x }), await run(model, { x }, { optimize }))).toBeLessThan(0.01);
  });

  test("uses the zero point for zeros before an operator without pads", async () => {
    const text = `opset 17
graph (x: float32[batch, 4, 6, 6]) -> (y: float32[batch, 8, 6, 6]) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  b.weight: float32[8, 4, 1, 1] = random(seed 2)
  pads: int64[8] = [0, 2, 0, 0, 0, 2, 0, 0]
  h = Conv(x, a.weight)
  p = Pad(h, pads)
  g = Conv(x, b.weight)
  y = Add(g, p)
}`;
    const { model } = await quantized(text);
    const pad = [...model.graph.nodes()].find(({ op }) => op === "Pad");
    expect(pad?.inputs[2]).toBe(model.graph.value("h_zero_point"));
    expect(toNumbers(await stored(model, "h_zero_point"))).not.toEqual([0]);
    for (const optimize of [false, true])
      expect(difference(await run(parseModel(text), { x }), await run(model, { x }, { optimize }))).toBeLessThan(0.03);
  });

  test("a constant of equal values fills with integers, and others are stored", async () => {
    const text = (filler: string) => `opset 17
graph (x: float32[1, 4, 6, 6]) -> (y: float32[...]) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  b.weight: float32[4, 8, 1, 1] = random(seed 2)
  shape: int64[4] = [1, 4, 6, 6]
  more: float32[1, 4, 6, 6] = random(seed 3)
  h = Conv(x, a.weight)
  p = ${filler}
  j = Concat(h, p) {axis=1}
  y = Conv(j, b.weight)
}`;
    const feeds = { x: numbersFor([1, 4, 6, 6]) };
    for (const [filler, fills] of [
      ["ConstantOfShape(shape)", 1],
      ["ConstantOfShape(shape) {value=float32[1] [0.5]}", 1],
      ["Abs(more)", 0],
    ] as const) {
      const model = parseModel(text(filler));
      await quantize(model, { scheme: "static", data: memory("calibration", feeds) });
      expect([...model.graph.nodes()].filter(({ op }) => op === "ConstantOfShape")).toHaveLength(fills);
      expect([...model.graph.values()].some(({ tensor }) => tensor?.dims.join() === "1,4,6,6")).toBe(fills === 0);
      for (const optimize of [false, true])
        expect(
          difference(await run(parseModel(text(filler)), feeds), await run(model, feeds, { optimize })),
        ).toBeLessThan(0.03);
    }
  });

  test("with another value stays in float, with the reason", async () => {
    const { model, misses } = await quantized(padded("1, 1", ", filler)"));
    expect(misses.map(({ reason }) => reason)).toEqual(["fills with a value other than 0"]);
    const pad = [...model.graph.nodes()].find(({ op }) => op === "Pad");
    expect(pad?.inputs[0]?.type?.type).toBe("float32");
  });
});

test("computes a last Softmax in float, on scores that were averaged on integers", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4, 6, 6]) -> (y) {
  a.weight: float32[10, 4, 1, 1] = random(seed 1, from -3 to 3)
  h = Conv(x, a.weight)
  g = GlobalAveragePool "mean" (h)
  f = Flatten(g)
  y = Softmax(f)
}`);
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x: numbersFor([16, 4, 6, 6]) }) });
  expect(changes.map(({ at }) => at)).toEqual(["a", 'GlobalAveragePool "mean"']);
  expect(operators(model).at(-1)).toBe("Softmax");
});

test.each([
  ["an output is kept in float", "y = Sigmoid(h)", []],
  ["an inner node runs on integers", "s = Sigmoid(h)\n  y = Mul(s, h)", ["s", "y"]],
])("a Sigmoid as %s", async (_, body, expected) => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 8]) -> (y) {
  a.weight: float32[8, 4] = random(seed 1)
  h = MatMul "a" (x, a.weight)
  ${body}
}`);
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x: numbersFor([16, 8]) }) });
  expect(changes.map(({ at }) => at).slice(1)).toHaveLength(expected.length);
});

describe("concatenated values", () => {
  const detector = (boxes: number, end: string) => `opset 17
graph (x: float32[batch, 8]) -> (y) {
  box.weight: float32[8, 4] = random(seed 1, from -${boxes} to ${boxes})
  score.weight: float32[8, 2] = random(seed 2)
  last.weight: float32[6, 3] = random(seed 3)
  b = MatMul(x, box.weight)
  s = MatMul(x, score.weight)
  p = Sigmoid(s)
  c = Concat "join" (b, p) {axis=1}
  ${end}
}`;
  const x = numbersFor([64, 8]);
  const quantized = async (text: string) => {
    const model = parseModel(text);
    const { changes, misses } = await quantize(model, { scheme: "static", data: memory("x", { x }) });
    assertValid(model);
    return { model, changes: changes.map(({ at }) => at), misses };
  };

  test("keep separate scales if their ranges differ widely", async () => {
    const text = detector(300, "y = Identity(c)");
    const { model, changes, misses } = await quantized(text);
    expect(changes).not.toContain('Concat "join"');
    expect(misses.find(({ at }) => at === 'Concat "join"')?.reason).toMatch(
      /^stays in float: it concatenates ranges of 0.994 and/,
    );
    const scores = (all: Float64Array) => all.filter((_, at) => at % 6 >= 4);
    const [before, after] = [await run(parseModel(text), { x }), await run(model, { x })];
    expect(difference(scores(before), scores(after))).toBeLessThan(0.02);
  });

  test("keep separate scales if those were trained", async () => {
    const model = parseModel(detector(300, "y = Identity(c)"));
    await fakeQuantize(model, { scheme: "static", data: memory("x", { x }) });
    const { misses } = await quantize(model, { scheme: "static", data: memory("x", { x }) });
    expect(misses.find(({ at }) => at === 'Concat "join"')?.reason).toMatch(
      /^stays in float: it concatenates ranges of/,
    );
  });

  test.each([
    ["similar ranges", 0.3, "y = Identity(c)"],
    ["a layer reads them with one scale", 300, "y = MatMul(c, last.weight)"],
  ])("are concatenated as integers: %s", async (_, boxes, end) => {
    expect((await quantized(detector(boxes, end))).changes).toContain('Concat "join"');
  });
});

describe("after the last layer", () => {
  /** Decodes boxes as a detector does: offsets times sizes, around centers. */
  const decoder = (end: string): Model =>
    parseModel(`opset 17
graph (x: float32[n, 3, 8, 8]) -> (y) {
  head.weight: float32[4, 3, 3, 3] = random(seed 1)
  size: float32[1, 4, 1, 1] = random(seed 2, from 0.1 to 0.4)
  centre: float32[1, 4, 1, 1] = random(seed 3, from 0.1 to 0.9)
  last.weight: float32[2, 4, 1, 1] = random(seed 4)
  half: float32[1, 2, 1, 1] = random(seed 5)
  h = Conv "head" (x, head.weight) {pads=[1, 1, 1, 1]}
  r = Relu (h)
  offset = Mul "offset" (r, size)
  ${end}
}`);
  const x = numbersFor([16, 3, 8, 8]);
  const computed = async (model: Model) =>
    (await quantize(model, { scheme: "static", data: memory("x", { x }) })).changes;

  test("arithmetic with constants stays in float, with the reason", async () => {
    const model = decoder('y = Add "box" (offset, centre)');
    const { changes, misses } = await quantize(model, { scheme: "static", data: memory("x", { x }) });
    expect(changes.map(({ at }) => at)).toEqual(["head"]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      'Mul "offset": stays in float: no layer follows',
    ]);
    expect(await run(await reopened(model), { x })).toEqual(await run(model, { x }));
  });

  test("arithmetic with constants is quantized if a layer follows", async () => {
    const model = decoder('box = Add "box" (offset, centre)\n  y = Conv "last" (box, last.weight)');
    const places = (await computed(model)).map(({ at }) => at);
    expect(places).toContain('Mul "offset"');
    expect(places).toContain('Add "box"');
  });

  test("a bias in a separate node is added to integers", async () => {
    const model = decoder('b = Conv "last" (r, last.weight)\n  y = Add "bias" (b, half)');
    expect((await computed(model)).map(({ at }) => at)).toContain('Add "bias"');
  });
});

test("lists a normalization that cannot be folded once, with the reason", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  a.weight: float32[4, 4] = random(seed 1)
  gain: float32[4] = ones
  shift: float32[4] = zeros
  h = MatMul "layer" (x, a.weight)
  t = BatchNormalization "shared" (h, gain, shift, shift, gain)
  y = Add "join" (t, h)
}`);
  const { misses } = await quantize(model, { scheme: "static", data: memory("x", { x: numbersFor([4, 4]) }) });
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
    `BatchNormalization "shared": the layer's own output is used elsewhere`,
  ]);
});

test("lists a layer that cannot be quantized once", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 3, 4]) -> (y: float32[2, 3, 2]) {
  w: float32[2, 4, 4] = random(seed 1)
  v: float32[4, 2] = random(seed 2)
  h = MatMul "experts" (x, w)
  y = MatMul "last" (h, v)
}`);
  const data = memory("x", {
    x: float32(
      [2, 3, 4],
      Float32Array.from({ length: 24 }, (_, at) => Math.sin(at)),
    ),
  });
  const { misses } = await quantize(model, { scheme: "static", data });
  expect(misses.filter(({ at }) => at?.includes("experts"))).toMatchObject([
    { reason: expect.stringContaining("not a matrix") },
  ]);
});

test("advises per-tensor scales if the model cannot have the opset of per-channel scales", async () => {
  // The number of axes of a shape given at run time is unknown, and so is the meaning of Resize.
  const model = parseModel(`ir 8, opset 10
graph (x: float32[batch, 1, 4, 4], shape: int64[rank]) -> (y: float32[batch, 2, 4, 4], p) {
  conv.weight: float32[2, 1, 1, 1] = random(seed 1)
  y = Conv(x, conv.weight)
  r = Reshape(x, shape)
  scales: float32[2] = [2, 2]
  p = Resize(r, scales)
}`);
  await expect(quantize(model, { scheme: "weights" })).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    hint: expect.stringContaining("perChannel: false"),
  });
  expect((await quantize(model, { scheme: "weights", perChannel: false })).changes.map(({ at }) => at)).toEqual([
    "conv",
  ]);
  expect(model.opsets.get("")).toBe(10);
});

test.each([
  ["Gemm", "y = Gemm (x, w, b) {beta=0.5}"],
  [
    "depth to space",
    "h = Gemm (x, w, b)\n  s: int64[4] = [-1, 4, 1, 1]\n  r = Reshape (h, s)\n  y = DepthToSpace (r) {blocksize=1}",
  ],
])("runs with per-tensor scales in an old opset: %s", async (_, body) => {
  const model = parseModel(`ir 5, opset 9
graph (x: float32[n, 8]) -> (y) {
  w: float32[8, 4] = random(seed 1)
  b: float32[4] = random(seed 2)
  ${body}
}`);
  const x = numbersFor([5, 8]);
  const expected = await run(model, { x });
  await quantize(model, { scheme: "static", perChannel: false, data: memory("x", { x }) });
  for (const optimize of [false, true])
    expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(0.03);
});

test.each([
  ["MatMul, a batch of 1", 1, 'h = MatMul "own" (x, d)'],
  ["MatMul, a batch of 3", 3, 'h = MatMul "own" (x, d)'],
  ["Einsum", 3, 'h = Einsum "own" (x, d) {equation="nbij,bjk->nbik"}'],
])("quantizes around a float operator with integer weights: %s", async (_, count, own) => {
  const model = parseModel(`opset 17
graph (x: float32[n, ${count}, 5, 8]) -> (y) {
  w: int8[${count}, 8, 6] = random(seed 1, from -100 to 100)
  s: float32[6] = random(seed 2, from 0.01 to 0.02)
  u: float32[8, 6] = random(seed 3)
  v: float32[6, 6] = random(seed 4)
  d = DequantizeLinear (w, s) {axis=2}
  ${own}
  g = MatMul "first" (x, u)
  a = Add (h, g)
  y = MatMul "second" (a, v)
}`);
  const x = numbersFor([4, count, 5, 8]);
  const expected = await run(model, { x });
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x }) });
  expect(changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["first", "second"]));
  for (const optimize of [false, true])
    expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(0.03);
});

describe("invalid requests", () => {
  test("fail without data, and change nothing", async () => {
    const model = mlp();
    const before = structureHash(model);
    await expect(quantize(model, { scheme: "static" })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining('"data"'),
    });
    expect(structureHash(model)).toBe(before);
  });

  test("fail for a missing path of data, and change nothing", async () => {
    const model = mlp();
    const before = structureHash(model);
    await expect(quantize(model, { scheme: "static", data: "no/such/folder" })).rejects.toMatchObject({
      code: "E_FILE",
    });
    expect(structureHash(model)).toBe(before);
  });

  test.each(["weights", "dynamic", "static"] as const)(
    "%s: fail for an opset that cannot be raised",
    async (scheme) => {
      const model = parseModel(`ir 4, opset 6
graph (x: float32[1, 2, 4]) -> (y: float32[1, 2, 4]) {
  w: float32[4, 4] = random(seed 1)
  h = MatMul(x, w)
  c: float32[2] = ones
  y = Add(h, c) {broadcast=1, axis=1}
}`);
      const before = structureHash(model);
      const schemeOptions =
        scheme === "static" ? { scheme, data: memory("x", { x: numbersFor([1, 2, 4]) }) } : { scheme };
      await expect(quantize(model, schemeOptions)).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
      expect(structureHash(model)).toBe(before);
    },
  );

  test("fail for data that does not fit, is empty or not finite", async () => {
    const attempt = (calibrationData: QuantizeOptions["data"]) =>
      expect(quantize(mlp(), { scheme: "static", data: calibrationData })).rejects;
    await attempt(memory("narrow", { x: numbersFor([4, 11]) })).toMatchObject({ code: "E_DATA" });
    await attempt(memory("empty", { x: numbersFor([0, 12]) })).toMatchObject({ code: "E_DATA" });
    const broken = numbersFor([4, 12]);
    broken.data[5] = Number.POSITIVE_INFINITY;
    await attempt(memory("broken", { x: broken })).toMatchObject({ code: "E_DATA" });
  });

  test("fail with E_STOPPED if the measurement is stopped", async () => {
    const signal = AbortSignal.abort();
    await expect(quantize(mlp(), { scheme: "static", data: data("mlp") }, { signal })).rejects.toMatchObject({
      code: "E_STOPPED",
    });
  });
});
