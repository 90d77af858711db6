/** Tests the scheme "weights": layers that dequantize their stored weights. */
import { describe, expect, test } from "vitest";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { fromNumbers, toNumbers } from "../../../src/core/tensor/convert.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { quantizeWeights } from "../../../src/techniques/quantize/quantize-tensor.ts";
import { shared } from "../../shared.ts";
import { cnn, difference, layerNames, mlp, numbersFor, operators, reopened, run, stored } from "./networks.ts";
import { dequantized } from "./reference.ts";

describe("weights of a small network", () => {
  test("become int8 with a scale per output channel, along the axis that counts outputs", async () => {
    const model = mlp();
    const weight = await stored(model, "fc1.weight");
    const { changes, misses } = await quantize(model, { scheme: "weights" });
    assertValid(model);
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
    expect(operators(model)).toEqual(["DequantizeLinear", "Gemm", "Relu", "DequantizeLinear", "MatMul", "Add"]);
    const expected = quantizeWeights({ dense: weight, type: "int8", axis: 0 });
    expect(await stored(model, "fc1.weight_quantized")).toEqual(expected.quantized);
    expect(await stored(model, "fc1.weight_scale")).toEqual(expected.scale);
    expect((await stored(model, "fc2.weight_scale")).dims).toEqual([5]);
    expect(model.graph.value("fc1.weight")).toBeUndefined();
  });

  test("compute the same as their dequantized values", async () => {
    const model = cnn();
    const rounded = cnn();
    for (const name of ["conv1", "conv2", "conv3", "fc"]) {
      const value = rounded.graph.value(`${name}.weight`);
      if (value?.tensor === undefined) throw new Error(name);
      const dense = await value.tensor.read();
      const close = dequantized(quantizeWeights({ dense, type: "int8", axis: 0 }));
      value.tensor = { ...value.tensor, small: close, read: () => Promise.resolve(close) };
    }
    await quantize(model, { scheme: "weights" });
    const x = numbersFor([2, 3, 8, 8]);
    expect(difference(await run(rounded, { x }), await run(model, { x }))).toBeLessThan(1e-6);
    expect(difference(await run(cnn(), { x }), await run(model, { x }))).toBeLessThan(0.01);
    expect(await run(await reopened(model), { x })).toEqual(await run(model, { x }));
  });

  test("have one scale each with `perChannel: false`, which requires only opset 10", async () => {
    const model = parseModel(`ir 4, opset 9
graph (x: float32[1, 3]) -> (y: float32[1, 2]) {
  fc.weight: float32[3, 2] = [[1, -2], [0.5, 0.25], [0, 1]]
  y = MatMul(x, fc.weight)
}`);
    await quantize(model, { scheme: "weights", perChannel: false });
    expect(model.opsets.get("")).toBe(10);
    expect((await stored(model, "fc.weight_scale")).dims).toEqual([]);
    expect(toNumbers(await stored(model, "fc.weight_quantized"))).toEqual([32, -64, 16, 8, 0, 32]);
  });

  test("have a scale per column in a stack of matrices", async () => {
    const text = `opset 17
graph (x: float32[n, 2, 3, 4]) -> (y) {
  w: float32[2, 4, 5] = random(seed 1)
  y = MatMul(x, w)
}`;
    const model = parseModel(text);
    await quantize(model, { scheme: "weights" });
    expect((await stored(model, "w_scale")).dims).toEqual([5]);
    const x = numbersFor([2, 2, 3, 4]);
    expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.02);
  });

  test("have a zero point as uint8", async () => {
    const model = mlp();
    await quantize(model, { scheme: "weights", weights: "uint8" });
    expect(toNumbers(await stored(model, "fc1.weight_zero_point"))).toEqual(new Array(16).fill(128));
    const x = numbersFor([4, 12]);
    expect(difference(await run(mlp(), { x }), await run(model, { x }))).toBeLessThan(0.02);
  });

  test("are quantized only in selected layers, which keep their names", async () => {
    const model = cnn();
    const names = layerNames(model);
    const { changes } = await quantize(model, { scheme: "weights", layers: "conv*", except: "conv3" });
    expect(changes.map(({ at }) => at)).toEqual(["conv1", "conv2"]);
    expect(layerNames(model)).toEqual(names);
    expect(model.graph.value("fc.weight")?.tensor?.type).toBe("float32");
  });

  test("are stored once if two layers share them", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 4]) {
  w: float32[4, 4] = random(seed 1)
  h = MatMul "a" (x, w)
  y = MatMul "b" (h, w)
}`);
    expect((await quantize(model, { scheme: "weights" })).changes).toHaveLength(2);
    expect(operators(model).filter((op) => op === "DequantizeLinear")).toHaveLength(1);
  });

  test("are multiplied by their mask before quantization", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 3]) -> (y: float32[1, 2]) {
  fc.weight_orig: float32[2, 3] parameter = [[4, 100, 2], [1, 0.5, 3]]
  fc.weight_mask: float32[2, 3] mask = [[1, 0, 1], [1, 1, 0]]
  fc.weight = Mul(fc.weight_orig, fc.weight_mask)
  y = Gemm(x, fc.weight) {transB=1}
}`);
    expect((await quantize(model, { scheme: "weights" })).changes.map(({ at }) => at)).toEqual(["fc"]);
    assertValid(model);
    expect(toNumbers(await stored(model, "fc.weight_quantized"))).toEqual([64, 0, 32, 64, 32, 0]);
    expect([...model.graph.values()].filter((value) => value.role !== undefined)).toEqual([]);
    expect(layerNames(model)).toEqual(["fc"]);
  });

  test("are listed with the reason if they cannot be quantized", async () => {
    const model = parseModel(`opset 17
graph (ids: int64[n], x: float32[n, 4]) -> (y: float32[n, 2]) {
  table: float32[10, 4] = random(seed 1)
  w: float16[4, 2] = random(seed 2)
  e = Gather(table, ids)
  s = Add(e, x)
  t = Cast(s) {to=10}
  u = MatMul "half" (t, w)
  y = Cast(u) {to=1}
}`);
    const before = structureHash(model);
    for (const scheme of ["weights", "dynamic"] as const) {
      const { changes, misses } = await quantize(model, { scheme, except: scheme === "weights" ? ["half", "e"] : "e" });
      expect(changes).toEqual([]);
      expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
        ...(scheme === "dynamic"
          ? ['half: its data is float16; integer arithmetic needs float32 (the scheme "weights" does not)']
          : []),
      ]);
    }
    expect(structureHash(model)).toBe(before);
  });

  test.each(["float16", "float64"])("in %s are quantized, and dequantized to that type", async (type) => {
    const model = parseModel(`opset 17
graph (x: ${type}[2, 8]) -> (y: ${type}[2, 4]) {
  fc.weight: ${type}[8, 4] = random(seed 2)
  y = MatMul(x, fc.weight)
}`);
    const original = model.clone();
    const { changes } = await quantize(model, { scheme: "weights" });
    expect(changes.map(({ at }) => at)).toEqual(["fc"]);
    expect((await stored(model, "fc.weight_quantized")).type).toBe("int8");
    const x = fromNumbers(type as "float16", [2, 8], toNumbers(numbersFor([2, 8])));
    expect(difference(await run(original, { x }), await run(model, { x }))).toBeLessThan(0.01);
  });

  test("are not quantized twice", async () => {
    const model = mlp();
    await quantize(model, { scheme: "weights" });
    const before = structureHash(model);
    const { changes, misses } = await quantize(model, { scheme: "weights" });
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      "its weight is quantized already",
      "its weight is quantized already",
    ]);
    expect(structureHash(model)).toBe(before);
  });

  test("are skipped with their name if they are not finite", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 2]) -> (y: float32[1, 2]) {
  fc.weight: float32[2, 2] = [[1, nan], [2, 3]]
  y = MatMul(x, fc.weight)
}`);
    const before = structureHash(model);
    for (const scheme of ["weights", "dynamic"] as const) {
      const { changes, misses } = await quantize(model, { scheme });
      expect(changes).toEqual([]);
      expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual(["fc: its weight holds NaN"]);
    }
    expect(structureHash(model)).toBe(before);
  });
});

test.each(["weights", "dynamic"] as const)(
  "quantizes other layers if one weight cannot be quantized: %s",
  async (scheme) => {
    const rest = "[[1, 2], [3, 4]]";
    const model = parseModel(`opset 17
graph (x: float32[1, 2]) -> (y: float32[1, 2]) {
  blk.weight: float32[2, 2] = [[1e-43, 0], [0, 1e-43]]
  blk1.weight: float32[2, 2] = ${rest}
  blk2.weight: float32[2, 2] = ${rest}
  a = MatMul(x, blk.weight)
  b = MatMul(a, blk1.weight)
  y = MatMul(b, blk2.weight)
}`);
    const weight = model.graph.value("blk.weight");
    if (weight !== undefined) model.graph.rename(weight, "blk*.weight");
    const { changes, misses } = await quantize(model, { scheme });
    expect(changes.map(({ at }) => at)).toEqual(["blk1", "blk2"]);
    expect(misses.map(({ at }) => at)).toEqual(["blk*"]);
  },
);

test("broadcasts a scaled bias of one element to every channel", async () => {
  const text = (bias: string) => `opset 17
graph (x: float32[2, 4]) -> (y: float32[2, 3]) {
  fc.weight: float32[4, 3] = [[1, 2, 3], [4, 5, 6], [-1, 2, 0.5], [0.25, 1, 2]]
  b: float32[${bias}] = ${bias === "" ? "0.5" : "[0.5]"}
  y = Gemm(x, fc.weight, b) {beta=2.0}
}`;
  for (const bias of ["1", ""]) {
    const [original, model] = [parseModel(text(bias)), parseModel(text(bias))];
    await quantize(model, { scheme: "dynamic" });
    const x = fromNumbers("float32", [2, 4], [1, 2, 3, 4, -1, 0.5, 2, 1]);
    expect(difference(await run(original, { x }), await run(await reopened(model), { x }))).toBeLessThan(0.02);
  }
});

test.each([
  [{ scheme: "weights", bits: 7 }, "bits", "takes 8, 6, 5, 4, 3 or 2"],
  [{ scheme: "sideways" }, "scheme", "weights"],
  [{ scheme: "weights", perchannel: true }, "perchannel", ""],
  [{ scheme: "dynamic", activations: "int8" }, "activations", "dynamic"],
  [{ scheme: "static", activations: "int8", weights: "uint8" }, "weights", "int8 weights"],
  [{ scheme: "static", data: 7 }, "data", "data set"],
  [{ scheme: "static", samples: 0 }, "samples", "at least 1"],
])("rejects the options %j", async (options, name, words) => {
  const model = mlp();
  const before = structureHash(model);
  const refusal = quantize(model, options as Parameters<typeof quantize>[1]);
  await expect(refusal).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringMatching(`["\`]${name}["\`]`),
  });
  await expect(refusal).rejects.toMatchObject({ message: expect.stringContaining(words) });
  expect(structureHash(model)).toBe(before);
});

test("rejects an unknown layer, and lists the layers", async () => {
  await expect(quantize(mlp(), { scheme: "weights", layers: "fc9" })).rejects.toMatchObject({
    code: "E_NAME",
    hint: "Layers: fc1, fc2.",
  });
});

const published = shared("data/models/resnet20.onnx");

test.skipIf(published === undefined)(
  "reduces a published network to about a quarter, and keeps its names",
  async () => {
    const model = await open(published ?? "");
    const before = (await encodeToBytes(model)).length;
    const names = layerNames(model);
    const { misses } = await quantize(model, { scheme: "weights" });
    assertValid(model);
    expect(misses).toEqual([]);
    expect((await encodeToBytes(model)).length / before).toBeLessThan(0.28);
    expect(layerNames(model)).toEqual(names);
  },
);

test.each([
  ["weights", true],
  ["weights", false],
  ["dynamic", true],
  ["static", true],
] as const)("%s, per channel %s: quantizes a network with Upsample in an old opset", async (scheme, perChannel) => {
  const model = parseModel(`ir 5, opset 9
graph (x: float32[batch, 2, height, width]) -> (y) {
  w: float32[4, 2, 3, 3] = random(seed 1)
  v: float32[2, 4, 3, 3] = random(seed 2)
  s: float32[4] = [1.0, 1.0, 2.0, 2.0]
  h = Conv "down" (x, w) {pads=[1, 1, 1, 1]}
  u = Upsample (h, s) {mode="nearest"}
  y = Conv "up" (u, v) {pads=[1, 1, 1, 1]}
}`);
  const x = numbersFor([2, 2, 6, 5]);
  const expected = await run(model, { x });
  const { changes } = await quantize(model, {
    scheme,
    perChannel,
    ...(scheme === "static" ? { data: memory("x", { x }) } : {}),
  });
  expect(changes.length).toBeGreaterThan(0);
  for (const optimize of [false, true])
    expect(difference(expected, await run(model, { x }, { optimize }))).toBeLessThan(0.03);
});

describe("weights on a grid", () => {
  // Integers, and in the last channel multiples of a step that float32 rounds.
  const numbers = (most: number) =>
    Array.from({ length: 64 * 32 }, (_, at) => ((at * 37) % (2 * most + 1)) - most).map((value, at) =>
      at % 32 === 31 ? Math.fround(value * 0.0173) : value,
    );
  const network = (most: number) =>
    parseModel(`opset 21
graph (x: float32[n, 64]) -> (y: float32[n, 32]) {
  w: float32[64, 32] = [${numbers(most)}]
  y = MatMul(x, w)
}`);
  const x = numbersFor([16, 64]);

  test.each([
    [{ bits: 8 }, 127],
    [{ bits: 8 }, 100],
    [{ bits: 8, weights: "uint8" }, 100],
    [{ bits: 8, rounder: "mse" }, 90],
    [{ bits: 8, block: 32 }, 127],
    [{ bits: 4, block: 32 }, 7],
    [{ bits: 4, block: 32, zeroPoints: true }, 7],
    [{ bits: 2, block: 32 }, 1],
    [{ bits: 4, onnxOnly: true }, 7],
  ] as const)("%o store ±%i steps exactly", async (options, most) => {
    const model = network(most);
    await quantize(model, { scheme: "weights", ...options });
    for (const node of model.graph.nodes())
      if (node.op === "MatMulNBits") model.graph.setAttribute(node, "accuracy_level", { kind: "int", value: 0 });
    const before = await run(network(most), { x }, { optimize: false });
    expect(difference(before, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
  });

  test("are stored exactly with one scale if all have the same step", async () => {
    const text = (most: number) => `opset 17
graph (x: float32[n, 64]) -> (y: float32[n, 32]) {
  w: float32[64, 32] = [${Array.from({ length: 64 * 32 }, (_, at) => ((at * 37) % (2 * most + 1)) - most)}]
  y = MatMul(x, w)
}`;
    for (const options of [{}, { weights: "uint8" }, { zeroPoints: true }] as const) {
      const model = parseModel(text(100));
      await quantize(model, { scheme: "weights", perChannel: false, ...options });
      expect(toNumbers(await stored(model, "w_scale"))).toEqual([1]);
      const before = await run(parseModel(text(100)), { x }, { optimize: false });
      expect(difference(before, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
    }
  });
});
