/** Rate–distortion optimized quantization, with golden values of a NumPy implementation (grams damped by 0.01 and 0.001 of their mean). */

import { float32, fromNumbers, toNumbers } from "pith";
import { memory } from "pith/data";
import type { Gram, Solver } from "pith/extend";
import { type Matrix, parseModel, random } from "pith/extend";
import { fakeQuantize, nearest, type QuantizeOptions, quantize, slicedWeight } from "pith/quantize";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { matrix, multiplyInJs } from "../../../src/core/math/matrix.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import type { LayerContext, ScaledGrid } from "../../../src/techniques/calibrate/solver.ts";
import { symmetricGrid } from "../../../src/techniques/quantize/grid.ts";
import { rdoqBy } from "../../../src/techniques/quantize/rounders/rdoq.ts";
import { cnn, difference, mlp, numbersFor, reopened, run, stored } from "./networks.ts";

const [rows, columns] = [8, 16];
const weight = matrix(
  rows,
  columns,
  Float64Array.from({ length: rows * columns }, (_, at) => {
    const [r, j] = [Math.floor(at / columns), at % columns];
    return 0.1 * (1 + (j % 4)) * Math.sin(1 + 0.7 * r + 1.3 * j);
  }),
);
const gram = matrix(
  columns,
  columns,
  Float64Array.from({ length: columns * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return Math.sqrt((1 + (i % 5)) * (1 + (j % 5))) * 0.9 ** Math.abs(i - j);
  }),
);
const [layer] = layers(mlp(), infer(mlp()));
if (layer === undefined) throw new Error("There is no layer.");
const layerContext: LayerContext<Gram> = {
  layer,
  evidence: { rows: 1, groups: [gram] },
  random: random(0),
  multiply: async (a: Matrix, b: Matrix) => multiplyInJs(a, b),
};
const sliced = slicedWeight([weight], 1);
const int8 = symmetricGrid("int8", undefined, { low: -127, high: 127 });

async function roundWeight(lambda: number): Promise<{ readonly grid: ScaledGrid; readonly codes: Matrix }> {
  const rounder = rdoqBy(() => lambda);
  const [first] = await rounder.scales(sliced, int8, layerContext);
  const grid = { ...int8, scale: Float32Array.of(first?.scale ?? 0), zeroPoint: Int32Array.of(0) };
  const [codes] = await rounder.codes(sliced, grid, layerContext);
  if (codes === undefined) throw new Error("There are no codes.");
  return { grid, codes };
}

describe("RDOQ", () => {
  test.each([
    {
      lambda: 0.0002,
      step: 0.05455,
      codes: `2 3 -3 -7 0 3 3 -5 -1 0 5 3 -1 -3 2 7
        2 1 -5 -5 1 4 -1 -7 -1 3 4 -2 -2 -1 5 5
        1 -2 -5 0 2 1 -4 -6 0 4 2 -7 -1 2 5 1
        0 -4 -3 5 2 -1 -6 -2 1 3 -2 -7 -1 4 3 -4
        -1 -4 1 7 1 -3 -4 2 2 1 -5 -5 1 3 0 -7
        -2 -2 4 6 0 -4 -2 7 1 -2 -5 0 2 2 -4 -6
        -2 1 5 3 -2 -2 2 7 0 -3 -3 4 2 -1 -5 -3
        -1 3 5 -3 -2 -1 5 5 -1 -3 -1 7 1 -2 -5 2`,
    },
    {
      lambda: 0.002,
      step: 0.172502,
      codes: `0 1 -1 -2 0 1 1 -2 0 0 2 1 -1 -1 1 2
        1 0 -2 -1 0 2 -1 -2 0 1 1 0 -1 0 1 2
        0 0 -2 0 1 0 -1 -2 0 1 1 -2 0 0 2 0
        0 -1 -1 2 0 0 -2 0 0 1 -1 -2 0 1 1 -1
        0 -1 0 2 0 0 -2 1 1 0 -2 -1 0 1 0 -2
        -1 0 1 2 0 -1 -1 2 1 -1 -1 0 0 1 -1 -3
        0 0 2 0 0 -1 1 2 0 -1 -1 1 1 0 -2 -1
        0 1 2 -1 -1 0 2 1 0 -1 0 2 0 -1 -1 0`,
    },
  ])("matches NumPy at λ = $lambda", async ({ lambda, step, codes: golden }) => {
    const { grid, codes } = await roundWeight(lambda);
    expect((grid.scale[0] ?? 0) / step).toBeCloseTo(1, 3);
    const expected = golden.trim().split(/\s+/).map(Number);
    expect([...codes.data]).toEqual(expected);
  });
});

/** Correlated inputs, as layers have them. */
const numbers = numbersFor([256, 12]);
const x = float32(
  [256, 12],
  numbers.data.map((value, at) => 0.5 * value + (numbers.data[12 * Math.floor(at / 12)] ?? 0)),
);
const data = memory("x", { x });
const pictures = numbersFor([64, 3, 8, 8]);

async function codesIn(model: Model): Promise<readonly number[]> {
  const names = [...model.graph.values()].flatMap(({ name }) => (name.endsWith("weight_quantized") ? [name] : []));
  return (await Promise.all(names.map((name) => stored(model, name)))).flatMap((dense) => [...toNumbers(dense)]);
}

/** Bits per value by the shares of the values. */
function entropy(codes: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - (count / codes.length) * Math.log2(count / codes.length), 0);
}

describe("quantize with rdoq", () => {
  test("adds about the requested error to the outputs, and lower distortions need more bits", async () => {
    const expected = await run(mlp(), { x });
    const power = expected.reduce((sum, value) => sum + value ** 2, 0);
    const results: { readonly bits: number; readonly noise: number }[] = [];
    for (const distortion of [0.001, 0.01, 0.1]) {
      const model = mlp();
      await quantize(model, { scheme: "weights", rounder: "rdoq", distortion, data });
      const outputs = await run(await reopened(model), { x });
      const noise = outputs.reduce((sum, value, at) => sum + (value - (expected[at] ?? 0)) ** 2, 0) / power;
      expect(noise).toBeGreaterThan(distortion / 4);
      expect(noise).toBeLessThan(2.5 * distortion);
      results.push({ bits: entropy(await codesIn(model)), noise });
    }
    expect(results.map(({ bits }) => bits)).toEqual(results.map(({ bits }) => bits).toSorted((a, b) => b - a));
    const plain = mlp();
    await quantize(plain, { scheme: "weights" });
    expect(results[1]?.bits).toBeLessThan(0.75 * entropy(await codesIn(plain)));
  });

  test("adds about the requested error if several layers share a weight", async () => {
    const network = () =>
      parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 12]) {
  w: float32[12, 12] = random(seed 1)
  a = MatMul "first" (x, w)
  b = Relu(a)
  c = MatMul "second" (b, w)
  d = Relu(c)
  y = MatMul "third" (d, w)
}`);
    const model = network();
    await quantize(model, { scheme: "weights", rounder: "rdoq", distortion: 0.001, data });
    const [expected, outputs] = [await run(network(), { x }), await run(model, { x })];
    const power = expected.reduce((sum, value) => sum + value ** 2, 0);
    const noise = outputs.reduce((sum, value, at) => sum + (value - (expected[at] ?? 0)) ** 2, 0) / power;
    expect(noise).toBeGreaterThan(0.001 / 2.5);
    expect(noise).toBeLessThan(2.5 * 0.001);
  });

  test("has less error than rounding to the nearest value with as many bits", async () => {
    const rdoqModel = mlp();
    await quantize(rdoqModel, { scheme: "weights", rounder: "rdoq", distortion: 0.005, data });
    const bits = entropy(await codesIn(rdoqModel));
    const expected = await run(mlp(), { x });
    const errors: number[] = [];
    for (const scale of [16, 24, 32, 48, 64]) {
      const wide: Solver = {
        id: "wide",
        scales: (weight, grid) =>
          nearest.scales(weight, grid).map(({ zeroPoint, ...one }) => ({ zeroPoint, scale: scale * one.scale })),
      };
      const model = mlp();
      await quantize(model, { scheme: "weights", rounder: wide });
      if (entropy(await codesIn(model)) >= bits) errors.push(difference(expected, await run(model, { x })));
    }
    expect(errors.length).toBeGreaterThan(2);
    expect(difference(expected, await run(rdoqModel, { x }))).toBeLessThan(0.75 * (errors.at(-1) ?? 0));
  });

  test.each(["weights", "dynamic", "static"] as const)(
    "stores convolutions with one scale per tensor: %s",
    async (scheme) => {
      const model = cnn();
      const { misses } = await quantize(model, {
        ...{ scheme, rounder: "rdoq", distortion: 0.01 },
        data: memory("x", { x: pictures }),
      });
      expect(misses).toEqual([]);
      const again = await reopened(model);
      expect((await stored(again, "conv2.weight_scale")).dims).toEqual([]);
      const codes = await codesIn(again);
      // Sums of wider values overflow on processors without VNNI.
      if (scheme === "static") expect(Math.max(...codes.map(Math.abs))).toBeLessThanOrEqual(64);
      expect(entropy(codes)).toBeLessThan(5);
      expect(difference(await run(cnn(), { x: pictures }), await run(again, { x: pictures }))).toBeLessThan(0.25);
    },
  );

  test("folds batch normalization", async () => {
    const model = parseModel(`opset 17
graph (x: float32[batch, 2, 6, 6]) -> (y: float32[batch, 3, 4, 4]) {
  conv.weight: float32[3, 2, 3, 3] = random(seed 1)
  gain: float32[3] = [0.5, 1, 2]
  shift: float32[3] = [0.1, 0, -0.1]
  mean: float32[3] = [0.2, -0.2, 0]
  variance: float32[3] = [1, 4, 0.5]
  c = Conv "conv" (x, conv.weight)
  y = BatchNormalization "norm" (c, gain, shift, mean, variance)
}`);
    const images = memory("images", { x: numbersFor([24, 2, 6, 6]) });
    await quantize(model, { scheme: "weights", rounder: "rdoq", data: images });
    const operators = [...model.graph.nodes()].map(({ op }) => op);
    expect(operators).toContain("Conv");
    expect(operators).not.toContain("BatchNormalization");
  });

  test("rounds other parameters to the precision of bfloat16", async () => {
    const model = parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 16]) {
  fc.weight: float32[16, 12] = random(seed 1)
  fc.bias: float32[16] = random(seed 2)
  y = Gemm "fc" (x, fc.weight, fc.bias) {transB=1}
}`);
    await quantize(model, { scheme: "weights", rounder: "rdoq", data });
    const bias = await stored(model, "fc.bias");
    const words = new Uint32Array(Float32Array.from(toNumbers(bias)).buffer);
    expect(words.every((word) => (word & 0xffff) === 0)).toBe(true);
    expect(new Set(words).size).toBeGreaterThan(8);
  });

  test("measures sensitivities on class scores of old opsets", async () => {
    const model = parseModel(`opset 7
graph (x: float32[batch, 12]) -> (y: float32[batch, 5]) {
  fc.weight: float32[12, 5] = random(seed 1)
  z = MatMul "fc" (x, fc.weight)
  y = Softmax(z) {axis=1}
}`);
    const { changes } = await quantize(model, { scheme: "weights", rounder: "rdoq", data });
    expect(changes.map(({ at }) => at)).toContain("fc");
  });

  test("keeps the lowest float32, which bfloat16 does not have, and full precision at low distortions", async () => {
    const text = `opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 4]) {
  fc.weight: float32[4, 12] = random(seed 1)
  fc.bias: float32[4] = [-3.4028234663852886e38, 0.123456789, 1.5, 2]
  y = Gemm "fc" (x, fc.weight, fc.bias) {transB=1}
}`;
    const biasAt = async (distortion: number) => {
      const model = parseModel(text);
      await quantize(model, { scheme: "weights", rounder: "rdoq", data, distortion });
      return toNumbers(await stored(model, "fc.bias"));
    };
    const [rounded, exact] = [await biasAt(0.01), await biasAt(1e-6)];
    expect(rounded[0]).toBe(-3.4028234663852886e38);
    expect(rounded[1]).toBe(0.12353515625);
    expect(exact[1]).toBe(Math.fround(0.123456789));
  });

  test("leaves layers that are excluded as they are, with their parameters", async () => {
    const before = mlp();
    for (const options of [{ except: "fc1" }, { overrides: { fc1: { float: true } } }]) {
      const model = mlp();
      const { changes } = await quantize(model, { scheme: "weights", rounder: "rdoq", data, ...options });
      for (const name of ["fc1.weight", "fc1.bias"])
        expect(toNumbers(await stored(model, name))).toEqual(toNumbers(await stored(before, name)));
      expect(changes.map(({ at }) => at)).not.toContain("fc1.bias");
      expect(changes).toContainEqual(
        expect.objectContaining({ at: "fc2.bias", what: "float32, rounded to the precision of bfloat16" }),
      );
    }
  });

  test("measures sensitivities again for other calibration samples", async () => {
    const filesAfter = async (...calls: readonly number[]) => {
      const calibrationData = memory("x", { x });
      const files: Uint8Array[] = [];
      for (const samples of calls) {
        const model = mlp();
        await quantize(model, { scheme: "weights", rounder: "rdoq", data: calibrationData, samples });
        files.push(await encodeToBytes(model));
      }
      return files.at(-1);
    };
    expect(await filesAfter(4, 32)).toEqual(await filesAfter(32));
  });

  describe("with an embedding table", () => {
    const [words, width] = [40, 64];
    const table = (second = "") =>
      parseModel(`opset 17
graph (ids: int64[batch, 4]) -> (y: float32[...]${second && ", z: float32[...]"}) {
  embed.weight: float32[${words}, ${width}] = random(seed 1)
  e = Gather "embed" (embed.weight, ids)
  fc.weight: float32[${width}, 5] = random(seed 2)
  y = MatMul "fc" (e, fc.weight)
  ${second}
}`);
    // Every sample reads the first row, and the last one by the index -1. Rows 20 to 38 are never read.
    const samples = 32;
    const read = Array.from({ length: samples }, (_, sample) => [0, -1, 1 + (sample % 19), 1 + ((sample * 7) % 19)]);
    const ids = { ids: fromNumbers("int64", [samples, 4], read.flat()) };
    const texts = memory("texts", ids);
    const steps = async (model: Model) => toNumbers(await stored(model, "embed.weight_scale"));

    test("gives rows that are read often smaller steps", async () => {
      const model = table();
      await quantize(model, { scheme: "weights", rounder: "rdoq", distortion: 0.01, data: texts });
      const rowSteps = await steps(model);
      expect(rowSteps).toHaveLength(words);
      const [first = 0, second = 0, unread = 0, last = 0] = [
        rowSteps[0],
        rowSteps[1],
        rowSteps[30],
        rowSteps[words - 1],
      ];
      expect(first).toBe(last);
      expect(first).toBeLessThan(second / 1.5);
      expect(second).toBeLessThan(unread);
      // Reads of unread rows count a tenth of the mean at least, so their values remain.
      const codes = toNumbers(await stored(model, "embed.weight_quantized")).slice(30 * width, 31 * width);
      expect(codes.filter((code) => code !== 0).length).toBeGreaterThan(width / 4);
    });

    test("rounds the rows of a table with other readers equally", async () => {
      const model = table('z = Gather "other" (embed.weight, ids)');
      await quantize(model, { scheme: "weights", rounder: "rdoq", distortion: 0.01, data: texts });
      expect(await steps(model)).toHaveLength(1);
    });
  });

  test("keeps values with learned scales", async () => {
    const models = [mlp(), mlp()];
    for (const model of models) await fakeQuantize(model, { scheme: "weights" });
    const [nearestModel, rdoqModel] = models as [Model, Model];
    await quantize(nearestModel, { scheme: "weights" });
    await quantize(rdoqModel, { scheme: "weights", rounder: "rdoq", distortion: 0.3, data });
    const codes = async (model: Model) => {
      const all = [...model.graph.values()].filter(({ name }) => name.endsWith("_quantized"));
      return Promise.all(all.map(async ({ name }) => [name, toNumbers(await stored(model, name))]));
    };
    expect((await codes(rdoqModel)).length).toBeGreaterThan(1);
    expect(await codes(rdoqModel)).toEqual(await codes(nearestModel));
  });

  test("gives the same values for the same seed", async () => {
    const [first, second] = [mlp(), mlp()];
    for (const model of [first, second]) {
      // Sensitivities are stored for a data set, so each run uses a separate one.
      const calibrationData = memory("x", { x });
      await quantize(model, { scheme: "weights", rounder: "rdoq", data: calibrationData }, { seed: 3 });
    }
    expect(await encodeToBytes(second)).toEqual(await encodeToBytes(first));
  });

  test.each<[string, Partial<QuantizeOptions>, string]>([
    ["needs samples", {}, '"data": the rounder "rdoq" needs samples'],
    ["has 8-bit values", { bits: 4, data }, "rdoq chooses the steps of 8-bit integers"],
    ["has no blocks", { block: 32, data }, "rdoq chooses the steps of 8-bit integers"],
    [
      "has integers in all layers",
      { overrides: { fc1: { weights: "palette" } }, data },
      "and other `weights` do not apply",
    ],
    ["has a positive distortion", { distortion: 0, data }, "distortion"],
  ])("%s", async (_, options, message) => {
    const model = mlp();
    const before = await encodeToBytes(model);
    await expect(quantize(model, { scheme: "weights", rounder: "rdoq", ...options })).rejects.toThrow(message);
    expect(await encodeToBytes(model)).toEqual(before);
  });
});
