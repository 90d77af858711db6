/** Tests fake quantization in float: its training, and its export to quantized values. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { parametersOf } from "../../../src/core/analysis/parameters.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { fromNumbers, toNumbers } from "../../../src/core/tensor/convert.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { roundHalfEven } from "../../../src/core/tensor/round.ts";
import { memory } from "../../../src/data/index.ts";
import { meanSquaredError, train } from "../../../src/learn/train/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";
import { hasExactProducts } from "../../int8-products.ts";
import {
  calibration,
  cnn,
  compared,
  difference,
  layerNames,
  mlp,
  numbersFor,
  operators,
  reopened,
  run,
  stored,
} from "./networks.ts";

async function tensors(model: Model): Promise<Readonly<Record<string, readonly number[]>>> {
  const tensorValues: Record<string, readonly number[]> = {};
  for (const value of model.graph.values()) {
    if (value.tensor !== undefined) tensorValues[value.name] = toNumbers(await value.tensor.read());
  }
  return tensorValues;
}

const data = (name: keyof typeof compared) => memory("calibration", { x: calibration(name) });

describe("fake-quantized weights", () => {
  test("compute the same as 8-bit weights, and keep names and parameters", async () => {
    const [fake, real] = [cnn(), cnn()];
    const parameters = [...parametersOf(fake, infer(fake))].map(({ name }) => name);
    const { changes, misses } = await fakeQuantize(fake, { scheme: "weights" });
    await quantize(real, { scheme: "weights" });
    assertValid(fake);
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(["conv1", "conv2", "conv3", "fc"]);
    const x = numbersFor([2, 3, 8, 8]);
    expect(difference(await run(real, { x }), await run(fake, { x }))).toBeLessThan(1e-6);
    expect(layerNames(fake)).toEqual(layerNames(cnn()));
    expect([...parametersOf(fake, infer(fake))].map(({ name }) => name)).toEqual(parameters);
  });

  test("are exported with the same scales as a direct export, also from a file", async () => {
    const [fake, real] = [mlp(), mlp()];
    await fakeQuantize(fake, {});
    await quantize(real, { scheme: "weights" });
    const read = await reopened(fake);
    await quantize(read, { scheme: "weights" });
    assertValid(read);
    expect(await tensors(read)).toEqual(await tensors(real));
    expect(operators(read)).toEqual(operators(real));
  });

  test("keep their scale if the weights change", async () => {
    const model = mlp();
    await fakeQuantize(model, { perChannel: false });
    const scale = toNumbers(await stored(model, "fc1.weight_scale"));
    const weight = model.graph.value("fc1.weight");
    if (weight?.tensor === undefined) throw new Error("fc1.weight is gone");
    const dense = await weight.tensor.read();
    const moved = fromNumbers(
      "float32",
      dense.dims,
      toNumbers(dense).map((value) => value * 0.5),
    );
    weight.tensor = { ...weight.tensor, small: moved, read: () => Promise.resolve(moved) };
    const x = numbersFor([4, 12]);
    const expected = await run(model, { x });
    await quantize(model, { scheme: "weights" });
    expect(toNumbers(await stored(model, "fc1.weight_scale"))).toEqual(scale);
    expect(Math.max(...toNumbers(await stored(model, "fc1.weight_quantized")).map(Math.abs))).toBeLessThan(65);
    // With optimizations, ONNX Runtime also rounds the activations of the MatMul (MatMulNBits).
    expect(difference(expected, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
  });

  test("with a mask are quantized after the mask", async () => {
    const model = parseModel(`opset 17
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  fc.weight_orig: float32[2, 3] parameter = [[4, 100, 2], [1, 0.5, 3]]
  fc.weight_mask: float32[2, 3] mask = [[1, 0, 1], [1, 1, 0]]
  fc.weight = Mul(fc.weight_orig, fc.weight_mask)
  y = Gemm(x, fc.weight) {transB=1}
}`);
    await fakeQuantize(model, {});
    assertValid(model);
    await quantize(model, { scheme: "weights" });
    expect(toNumbers(await stored(model, "fc.weight_quantized"))).toEqual([64, 0, 32, 64, 32, 0]);
  });

  test("are not quantized twice", async () => {
    const model = mlp();
    await fakeQuantize(model, {});
    const before = structureHash(model);
    const { changes, misses } = await fakeQuantize(model, {});
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      "already has fake quantization",
      "already has fake quantization",
    ]);
    expect(structureHash(model)).toBe(before);
  });
});

describe.each(["mlp", "cnn"] as const)("fake-quantized activations of %s", (name) => {
  test.each(["uint8", "int8"] as const)(
    "%s: are exported without data to the same values as a direct export",
    async (activations) => {
      const [fake, real] = [compared[name](), compared[name]()];
      await fakeQuantize(fake, { scheme: "static", bits: 8, activations, data: data(name) });
      assertValid(fake);
      await quantize(real, { scheme: "static", bits: 8, activations, data: data(name), biasCorrection: "none" });
      const x = calibration(name);
      const computed = await run(fake, { x });
      const read = await reopened(fake);
      await quantize(read, { scheme: "static", bits: 8, activations });
      assertValid(read);
      expect(await tensors(read)).toEqual(await tensors(real));
      expect([...operators(read)].sort()).toEqual([...operators(real)].sort());
      expect(layerNames(read)).toEqual(layerNames(compared[name]()));
      // Only the export has int32 biases and 8-bit operands of Add.
      if (hasExactProducts) expect(difference(await run(real, { x }), computed)).toBeLessThan(0.02);
    },
  );
});

test("training passes gradients through rounding, and the export computes the trained outputs", async () => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y: float32[batch, 3]) {
  fc1.weight: float32[16, 4] parameter = random(seed 1)
  fc1.bias: float32[16] parameter = random(seed 2)
  fc2.weight: float32[3, 16] parameter = random(seed 3)
  h = Gemm(x, fc1.weight, fc1.bias) {transB=1}
  a = Relu(h)
  y = Gemm(a, fc2.weight) {transB=1}
}`);
  const numbers = random(3);
  const x = numbersFor([96, 4], 11);
  // The class is the largest of three coordinates, which the untrained network does not predict.
  const label = fromNumbers(
    "int64",
    [96],
    Array.from({ length: 96 }, (_, row) => {
      const scores = [0, 1, 2].map((column) => (x.data[row * 4 + column] ?? 0) + 0.01 * numbers.normal());
      return scores.indexOf(Math.max(...scores));
    }),
  );
  const dataset = memory("points", { x, label });
  await fakeQuantize(model, { scheme: "static", data: memory("x", { x }) });
  const before = toNumbers(await stored(model, "fc1.weight"));
  const scale = toNumbers(await stored(model, "fc1.weight_scale"));
  const { history } = await train(model, { data: dataset, epochs: 8, batch: 32, learningRate: 0.02 });
  expect(history.at(-1)?.loss ?? Number.NaN).toBeLessThan(0.6 * (history[0]?.loss ?? 0));
  expect(toNumbers(await stored(model, "fc1.weight"))).not.toEqual(before);
  expect(toNumbers(await stored(model, "fc1.weight_scale"))).toEqual(scale);
  const trained = await run(model, { x });
  await quantize(model, { scheme: "static" });
  assertValid(model);
  expect(operators(model).filter((op) => !op.endsWith("Linear"))).toEqual(["Gemm", "Gemm"]);
  expect(difference(trained, await run(model, { x }))).toBeLessThan(0.02);
});

test("4-bit weights are exported to int8 or int4, with the same outputs", async () => {
  const x = calibration("mlp");
  const model = mlp();
  await fakeQuantize(model, { scheme: "static", bits: 4, data: data("mlp") });
  const trained = await run(model, { x });
  for (const [bits, type] of [
    [8, "int8"],
    [4, "int4"],
  ] as const) {
    const result = model.clone();
    await quantize(result, { scheme: "static", bits });
    const types = [...result.graph.values()].flatMap(({ tensor }) => (tensor?.dims.length === 2 ? tensor.type : []));
    expect(new Set(types)).toEqual(new Set([type]));
    expect(difference(trained, await run(result, { x }))).toBeLessThan(0.02);
  }
});

/** A network that reads one matrix directly and transposed. */
const tied = () =>
  parseModel(`opset 18
graph (x: float32[batch, 6]) -> (y: float32[batch, 6]) {
  code.weight: float32[6, 4] parameter = random(seed 1)
  h = Gemm "/code/Gemm" (x, code.weight)
  a = Tanh(h)
  y = Gemm "/code/Gemm_1" (a, code.weight) {transB=1}
}`);

describe("a matrix that two layers read along different axes", () => {
  test.each([
    ["weights", { learnScales: false }, 2, 1e-6],
    ["weights", { learnScales: true }, 2, 1e-6],
    ["weights", { learnScales: true, bits: 4 }, 2, 1e-6],
    ["weights", { learnScales: true, perChannel: false }, 1, 1e-6],
    ["static", { learnScales: true }, 2, 0.02],
    ["dynamic", { learnScales: true, bits: 7 }, 2, 0.02],
  ] as const)(
    "is quantized along each axis, and exported with its trained values: %s %j",
    async (scheme, options, count, most) => {
      const model = tied();
      const x = numbersFor([96, 6], 11);
      const measured = scheme === "static" ? ({ scheme, data: memory("x", { x }) } as const) : {};
      await fakeQuantize(model, { ...options, ...measured });
      await train(model, {
        data: memory("points", { x, same: x }),
        loss: meanSquaredError({ label: "same" }),
        epochs: 4,
        batch: 32,
        learningRate: 0.02,
      });
      const trained = await run(model, { x });
      const { perChannel = true } = "perChannel" in options ? options : {};
      await quantize(model, { scheme, perChannel });
      assertValid(model);
      expect(difference(trained, await run(model, { x }, { optimize: false }))).toBeLessThan(most);
      expect(layerNames(model)).toEqual(["code", "code"]);
      const codes = [...model.graph.values()].filter(({ name }) => name.startsWith("code.weight_quantized"));
      const bytes = "bits" in options && options.bits === 4 ? 12 : 24;
      expect(codes.map(({ tensor }) => tensor?.bytes)).toEqual(new Array(count).fill(bytes));
    },
  );
});

test.each([
  [{ scheme: "static" }, '"data"'],
  [{ scheme: "dynamic" }, '"scheme"'],
  [{ scheme: "weights", bits: 1 }, '"bits"'],
  [{ scheme: "weights", bits: 9 }, '"bits"'],
  [{ scheme: "weights", bits: 3.5 }, '"bits"'],
  [{ scheme: "weights", learnScales: "yes" }, '"learnScales"'],
])("rejects the options %j", async (options, words) => {
  const model = mlp();
  const before = structureHash(model);
  await expect(fakeQuantize(model, options as Parameters<typeof fakeQuantize>[1])).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringContaining(words),
  });
  expect(structureHash(model)).toBe(before);
});

describe("trained scales", () => {
  /** Returns points whose class is the largest of three coordinates. */
  const points = () => {
    const x = numbersFor([96, 12], 11);
    const largest = (row: number): number => {
      const scores = [0, 1, 2].map((column) => x.data[row * 12 + column] ?? 0);
      return scores.indexOf(Math.max(...scores));
    };
    const label = fromNumbers(
      "int64",
      [96],
      Array.from({ length: 96 }, (_, row) => largest(row)),
    );
    return { x, label };
  };
  const numbersOf = async (model: Model, name: string) => toNumbers(await stored(model, name));
  const rangesOf = (model: Model) =>
    [...model.graph.values()].map(({ name }) => name).filter((name) => name.endsWith("_range"));
  const fitted = (model: Model, options = {}) =>
    train(
      model,
      { data: memory("points", points()), epochs: 3, batch: 32, learningRate: 0.01, ...options },
      { seed: 3 },
    );

  test("are parameters of the model, and compute the same as fixed ones", async () => {
    const [learned, fixed] = [cnn(), cnn()];
    const before = [...parametersOf(learned, infer(learned))].map(({ name }) => name);
    const { changes } = await fakeQuantize(learned, { scheme: "static", data: data("cnn"), learnScales: true });
    await fakeQuantize(fixed, { scheme: "static", data: data("cnn") });
    assertValid(learned);
    const x = calibration("cnn");
    expect([...(await run(learned, { x }))]).toEqual([...(await run(fixed, { x }))]);
    const ranges = rangesOf(learned);
    expect(ranges).toContain("conv1.weight_range");
    expect(ranges).toContain("x_range");
    const now = [...parametersOf(learned, infer(learned))].map(({ name }) => name);
    expect(now.sort()).toEqual([...before, ...ranges].sort());
    expect(changes.map(({ what }) => what)).toContain("weight rounded to 7 bits, per-channel scales, trainable");
    expect(layerNames(learned)).toEqual(layerNames(cnn()));
  });

  test("have a gradient scale by the number of elements and quantized values", async () => {
    const model = cnn();
    await fakeQuantize(model, { scheme: "static", bits: 3, data: data("cnn"), learnScales: true });
    const slopeOf = (name: string) => {
      const [size] = [...(model.graph.value(`${name}_range`)?.uses ?? [])][0]?.node.outputs ?? [];
      const role = [...(size?.uses ?? [])][0]?.node.outputs[0]?.role;
      return role?.kind === "straight-through" ? role.slope : undefined;
    };
    // 6 × 3 × 3 elements per channel, quantized values -4 … 3.
    expect(slopeOf("conv2.weight")).toBeCloseTo(4 ** 2 / Math.sqrt(6 * 9 * 3), 12);
    // 6 × 8 × 8 elements per sample, none negative: quantized values 0 … 255.
    expect(slopeOf("a1")).toBeCloseTo(256 ** 2 / Math.sqrt(6 * 64 * 255), 9);
  });

  test.each([
    { scheme: "static", bits: 8, factors: [128, 256] },
    { scheme: "weights", bits: 4, factors: [8, 256] },
  ] as const)("change in training and are exported: $scheme, $bits bits", async ({ scheme, bits, factors }) => {
    const model = mlp();
    const dataOption = scheme === "static" ? { data: memory("x", { x: points().x }) } : {};
    await fakeQuantize(model, { scheme, bits, learnScales: true, ...dataOption });
    const names = rangesOf(model);
    expect(names).toHaveLength(scheme === "static" ? 6 : 2);
    const before = await Promise.all(names.map((name) => numbersOf(model, name)));
    const { history } = await fitted(model);
    expect(history.at(-1)?.loss ?? Number.NaN).toBeLessThan(history[0]?.loss ?? 0);
    const after = await Promise.all(names.map((name) => numbersOf(model, name)));
    for (const [at, numbers] of after.entries()) {
      expect(numbers).not.toEqual(before[at]);
      expect(Math.min(...numbers)).toBeGreaterThan(0);
    }

    const read = await reopened(model);
    const { x } = points();
    const computed = await run(read, { x });
    const weight = await numbersOf(read, "fc1.weight");
    await quantize(read, { scheme });
    assertValid(read);
    for (const [at, name] of names.entries()) {
      const factor = factors[name.includes("weight") ? 0 : 1];
      const scale = await numbersOf(read, name.replace(/_range$/, "_scale"));
      expect(scale).toEqual(after[at]?.map((range) => range / factor));
    }
    const scale = await numbersOf(read, "fc1.weight_scale");
    const [low, high] = bits === 8 ? [-127, 127] : [-8, 7];
    const codes = weight.map((value, at) => {
      const code = roundHalfEven(Math.fround(value / (scale[Math.floor(at / 12)] ?? 1)));
      return Math.min(high, Math.max(low, code)) + 0;
    });
    expect(await numbersOf(read, "fc1.weight_quantized")).toEqual(codes);
    const tolerance = scheme === "static" ? 0.02 : 1e-6;
    expect(difference(computed, await run(read, { x }, { optimize: false }))).toBeLessThan(tolerance);
  });

  test("are trained only for the selected layers", async () => {
    const model = mlp();
    await fakeQuantize(model, { learnScales: true });
    const before = await tensors(model);
    await fitted(model, { layers: "fc1" });
    const after = await tensors(model);
    const moved = Object.keys(before).filter((name) => `${before[name]}` !== `${after[name]}`);
    expect(moved.sort()).toEqual(["fc1.bias", "fc1.weight", "fc1.weight_range"]);
    await fitted(model, { except: "fc1" });
    expect(await numbersOf(model, "fc1.weight_range")).toEqual(after["fc1.weight_range"]);
    expect(await numbersOf(model, "fc2.weight_range")).not.toEqual(after["fc2.weight_range"]);
  });

  test("are removed with pruned channels", async () => {
    const model = cnn();
    await fakeQuantize(model, { learnScales: true });
    const { misses } = await prune(model, { structured: true, amount: 0.5, layers: "conv1" });
    assertValid(model);
    expect(misses).toEqual([]);
    expect(model.graph.value("conv1.weight_range")?.tensor?.dims).toEqual([3, 1, 1, 1]);
    expect(model.graph.value("conv1.weight_range_least")?.tensor?.dims).toEqual([3, 1, 1, 1]);
    await quantize(model, { scheme: "weights" });
    assertValid(model);
  });
});
