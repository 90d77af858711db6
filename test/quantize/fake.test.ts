/** Rounding in float, trained through, and its way out as codes. */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { memory } from "../../src/data/index.ts";
import { structureHash } from "../../src/graph/hash.ts";
import type { Model } from "../../src/graph/model.ts";
import { parseModel } from "../../src/graph/text.ts";
import { assertValid } from "../../src/graph/verify.ts";
import { fakeQuantize, quantize } from "../../src/quantize/index.ts";
import { fromNumbers, toNumbers } from "../../src/tensor/convert.ts";
import { random } from "../../src/tensor/random.ts";
import { parametersOf, train } from "../../src/train/index.ts";
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
  const found: Record<string, readonly number[]> = {};
  for (const value of model.graph.values()) {
    if (value.tensor !== undefined) found[value.name] = toNumbers(await value.tensor.read());
  }
  return found;
}

const data = (name: keyof typeof compared) => memory("calibration", { x: calibration(name) });

describe("rounded weights", () => {
  test("compute what 8-bit weights compute, and keep names and parameters", async () => {
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

  test("become codes with the same scales, through a file and back", async () => {
    const [fake, real] = [mlp(), mlp()];
    await fakeQuantize(fake, {});
    await quantize(real, { scheme: "weights" });
    const read = await reopened(fake);
    await quantize(read, { scheme: "weights" });
    assertValid(read);
    expect(await tensors(read)).toEqual(await tensors(real));
    expect(operators(read)).toEqual(operators(real));
  });

  test("keep their scale when the weights move", async () => {
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
    // Optimized, ONNX Runtime would round the activations of the MatMul too (MatMulNBits).
    expect(difference(expected, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
  });

  test("behind a mask are rounded after it", async () => {
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
    expect(toNumbers(await stored(model, "fc.weight_quantized"))).toEqual([127, 0, 64, 127, 64, 0]);
  });

  test("are not rounded twice", async () => {
    const model = mlp();
    await fakeQuantize(model, {});
    const before = structureHash(model);
    const { changes, misses } = await fakeQuantize(model, {});
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual(["is rounded already", "is rounded already"]);
    expect(structureHash(model)).toBe(before);
  });
});

describe.each(["mlp", "cnn"] as const)("rounded activations of %s", (name) => {
  test.each(["uint8", "int8"] as const)(
    "%s: exported without data, the integers are those of a direct export",
    async (activations) => {
      const [fake, real] = [compared[name](), compared[name]()];
      await fakeQuantize(fake, { scheme: "static", activations, data: data(name) });
      assertValid(fake);
      await quantize(real, { scheme: "static", activations, data: data(name) });
      const x = calibration(name);
      const computed = await run(fake, { x });
      const read = await reopened(fake);
      await quantize(read, { scheme: "static", activations });
      assertValid(read);
      expect(await tensors(read)).toEqual(await tensors(real));
      expect([...operators(read)].sort()).toEqual([...operators(real)].sort());
      expect(layerNames(read)).toEqual(layerNames(compared[name]()));
      // Biases are int32 and operands of Add 8 bits only in the export.
      expect(difference(await run(real, { x }), computed)).toBeLessThan(0.02);
    },
  );
});

test("training goes through the rounding, and the export computes what was trained", async () => {
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
  // The class is the largest of three coordinates: learnable, and not yet learnt.
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

test.each([
  [{ scheme: "static" }, '"data"'],
  [{ scheme: "dynamic" }, '"scheme"'],
  [{ scheme: "weights", bits: 4 }, '"bits"'],
])("options that do not fit are refused: %j", async (options, words) => {
  const model = mlp();
  const before = structureHash(model);
  await expect(fakeQuantize(model, options as Parameters<typeof fakeQuantize>[1])).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringContaining(words),
  });
  expect(structureHash(model)).toBe(before);
});
