/** Tests rounding methods that minimize the output error of a layer: scales and GPTAQ. */
import { float32, toNumbers } from "pith";
import { memory } from "pith/data";
import { type Gram, gramMatrices, type Matrix, parseModel, type Solver } from "pith/extend";
import { prune } from "pith/prune";
import { nearest, type QuantizeOptions, quantize } from "pith/quantize";
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { matrix, multiplyInJs, transpose } from "../../../src/core/math/matrix.ts";
import { readFeatures } from "../../../src/techniques/calibrate/features.ts";
import { gptaq } from "../../../src/techniques/quantize/rounders/gptaq.ts";
import { gptq } from "../../../src/techniques/quantize/rounders/gptq.ts";
import { mse } from "../../../src/techniques/quantize/rounders/mse.ts";
import { scalesByOutputError } from "../../../src/techniques/quantize/rounders/scales-by-output-error.ts";
import { cnn, difference, mlp, numbersFor, run, stored } from "./networks.ts";

/** Rounds to nearest with the scales of GPTAQ. */
const leastOutputError: Solver<Gram | undefined> = {
  ...{ id: "least output error", of: "changed", blind: true, evidence: gramMatrices },
  scales: scalesByOutputError,
};

/** Correlated inputs. */
const x = numbersFor([64, 12]);
const alike = float32(
  [64, 12],
  x.data.map((value, at) => 0.2 * value + (x.data[12 * Math.floor(at / 12)] ?? 0)),
);

/** Returns (ŵ − w) G (ŵ − w)ᵀ of the layers of a network, with their inputs in the original. */
async function errorsOf(
  model: () => Model,
  data: ReturnType<typeof memory>,
  options: QuantizeOptions,
): Promise<number[]> {
  const errors: number[] = [];
  const rounder = options.rounder as Solver<Gram>;
  const watching: Solver<Gram> = {
    ...{ id: "watching", of: "original", evidence: gramMatrices },
    async codes(weight, grid, known) {
      const near = (): readonly Matrix[] =>
        weight.matrices.map((weightMatrix, group) =>
          matrix(
            weightMatrix.rows,
            weightMatrix.columns,
            weightMatrix.data.map((value, at) => {
              const slice = weight.sliceAt(group, Math.floor(at / weightMatrix.columns), at % weightMatrix.columns);
              const zero = grid.zeroPoint[slice] ?? 0;
              return Math.min(grid.high, Math.max(grid.low, Math.round(value / (grid.scale[slice] || 1)) + zero));
            }),
          ),
        );
      const codes = (await rounder.codes?.(weight, grid, known)) ?? near();
      for (const [group, weightMatrix] of weight.matrices.entries()) {
        const roundingError = weightMatrix.data.map((value, at) => {
          const slice = weight.sliceAt(group, Math.floor(at / weightMatrix.columns), at % weightMatrix.columns);
          return ((codes[group]?.data[at] ?? 0) - (grid.zeroPoint[slice] ?? 0)) * (grid.scale[slice] ?? 0) - value;
        });
        const gram = known.evidence.groups[group] ?? matrix(weightMatrix.columns, weightMatrix.columns);
        const moved = await multiplyInJs(matrix(weightMatrix.rows, weightMatrix.columns, roundingError), gram);
        errors.push(moved.data.reduce((sum, value, at) => sum + value * (roundingError[at] ?? 0), 0));
      }
      return codes;
    },
    scales: (weight, grid, known) => rounder.scales?.(weight, grid, known) ?? [],
  };
  await quantize(model(), { ...options, rounder: watching, data });
  return errors;
}

/** Three convolutions: depthwise, with two groups, and with one group. */
const grouped = (): Model =>
  parseModel(`opset 21
graph (x: float32[batch, 4, 6, 6]) -> (y) {
  a.weight: float32[4, 1, 3, 3] = random(seed 1)
  b.weight: float32[6, 2, 3, 3] = random(seed 2)
  c.weight: float32[5, 6, 1, 1] = random(seed 3)
  h = Conv(x, a.weight) {group=4, pads=[1, 1, 1, 1]}
  r = Relu(h)
  i = Conv(r, b.weight) {group=2}
  y = Conv(i, c.weight)
}`);

describe.each<[string, () => Model, ReturnType<typeof memory>]>([
  ["products", mlp, memory("x", { x: alike })],
  ["convolutions", cnn, memory("x", { x: numbersFor([8, 3, 8, 8]) })],
  ["convolutions in groups", grouped, memory("x", { x: numbersFor([8, 4, 6, 6]) })],
])("in each layer of %s", (_, model, data) => {
  test.each([4, 3])("outputs change less than with rounding to nearest and mse: %i bits", async (bits) => {
    const measureErrors = (rounder: Solver): Promise<number[]> =>
      errorsOf(model, data, { scheme: "weights", bits: bits as 3 | 4, onnxOnly: true, rounder });
    const [near, cut, clipped] = [
      await measureErrors(nearest),
      await measureErrors(mse),
      await measureErrors(leastOutputError as Solver),
    ];
    for (const [at, least] of cut.entries()) {
      const best = Math.min(least, near[at] ?? 0) * (1 + 1e-9);
      expect(clipped[at]).toBeLessThanOrEqual(best);
    }
  });
});

describe("the error of earlier layers", () => {
  const noiseOf = async (
    rounder: QuantizeOptions["rounder"],
    options: Partial<QuantizeOptions> = {},
  ): Promise<number> => {
    const model = mlp();
    await quantize(model, { scheme: "weights", bits: 3, rounder, data: memory("x", { x: alike }), ...options });
    return difference(await run(mlp(), { x: alike }), await run(model, { x: alike }));
  };

  test("is compensated by GPTAQ towards the original's outputs", async () => {
    expect(await noiseOf(gptaq)).toBeLessThan(await noiseOf({ ...gptq, scales: gptaq.scales } as Solver));
    expect(await noiseOf(gptaq)).toBeLessThan(0.5 * (await noiseOf("mse")));
  });

  test("is passed to the method as statistics of both models, equal for the first layer", async () => {
    const seen = new Map<string, Gram>();
    const watching: Solver<Gram> = {
      ...{ id: "watching", evidence: gramMatrices, of: "both" },
      scales(weight, grid, { layer, evidence }) {
        seen.set(layer.name, evidence);
        return nearest.scales(weight, grid);
      },
    };
    await noiseOf(watching as Solver);
    const [first, second] = [...seen.values()];
    expect(first?.cross?.[0]).toEqual(first?.groups[0]);
    const [gram, cross] = [second?.groups[0], second?.cross?.[0]].map((one) => one?.data ?? new Float64Array());
    expect(difference(gram ?? new Float64Array(), cross ?? new Float64Array())).toBeGreaterThan(1e-3);
  });
});

test("GPTAQ keeps zeros at 0", async () => {
  const model = mlp();
  await prune(model, { amount: 0.5 });
  const before = toNumbers(await stored(model, "fc1.weight"));
  await quantize(model, { scheme: "weights", bits: 3, rounder: "gptaq", data: memory("x", { x: alike }) });
  const codes = toNumbers(await stored(model, "fc1.weight_quantized"));
  expect(before.every((weight, at) => weight !== 0 || codes[at] === 0)).toBe(true);
  expect(codes.some((code) => code !== 0)).toBe(true);
});

test("uses evenly spread positions of a large image for Gram matrices", async () => {
  const dense = numbersFor([1, 2, 100, 100]);
  const running = gramMatrices.begin();
  await running.add(readFeatures(dense, { axis: 1 }));
  const { rows, groups, cross } = running.end();
  expect(rows).toBe(1024 + 2 * 2);
  expect(cross).toBeUndefined();
  const all = readFeatures(dense, { axis: 1 }).matrix();
  const fullGram = await multiplyInJs(transpose(all), all);
  for (const at of [0, 3])
    expect(Math.abs((groups[0]?.data[at] ?? 0) / rows - (fullGram.data[at] ?? 0) / 10_000)).toBeLessThan(0.1);
});

test.each<[QuantizeOptions, RegExp | undefined]>([
  [{ dtype: "q4", data: memory("x", { x: alike }) }, /gptaq/],
  [{ scheme: "weights", bits: 3, data: memory("x", { x: alike }) }, /gptaq/],
  [{ dtype: "q4", data: memory("x", { x: alike }), rounder: "mse" }, /mse/],
  [{ dtype: "q4" }, undefined],
  [{ scheme: "weights", data: memory("x", { x: alike }) }, undefined],
])("uses GPTAQ for low-bit weights by default if there are samples", async (options, by) => {
  const { changes } = await quantize(mlp(), options);
  const rounded = changes.filter(({ kind }) => kind === "quantized");
  expect(rounded.length).toBeGreaterThan(0);
  for (const { what } of rounded)
    if (by === undefined) expect(what).not.toContain("rounded by");
    else expect(what).toMatch(by);
});
