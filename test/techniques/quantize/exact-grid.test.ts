/** Weights on a grid are stored exactly in every scheme, whatever else makes rounding easier. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored-values.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { value } from "../../find.ts";
import { numbersFor } from "./networks.ts";

/** Two convolutions whose channels have at most `steps` steps on each side of 0, each with a separate step size. */
function onGrid(steps: number, own: boolean): Model {
  const model = parseModel(`opset 21
graph (x: float32[batch, 3, 6, 6]) -> (y) {
  a.weight: float32[8, 3, 3, 3] = random(seed 1)
  a.bias: float32[8] = random(seed 2, from 1 to 2)
  b.weight: float32[4, 8, 3, 3] = random(seed 3)
  b.bias: float32[4] = random(seed 4)
  h = Conv "a" (x, a.weight, a.bias)
  r = Relu (h)
  y = Conv "b" (r, b.weight, b.bias)
}`);
  for (const name of ["a.weight", "b.weight"]) {
    const weight = value(model, name);
    const [rows = 1, ...rest] = weight.tensor?.dims ?? [];
    const width = rest.reduce((product, dim) => product * dim, 1);
    const numbers = Array.from({ length: rows * width }, (_, at) => {
      const [row, column] = [Math.floor(at / width), at % width];
      const code = column === 0 ? steps : ((at * 37) % (2 * steps + 1)) - steps;
      return code * (own ? 1 + (row % 5) / 4 : 1) * 0.01;
    });
    weight.tensor = inMemory(float32([rows, ...rest], numbers));
  }
  return model;
}

async function numbersOf(model: Model): Promise<readonly Float64Array[]> {
  const layerValues: Float64Array[] = [];
  for (const { effective } of layers(model, infer(model)))
    layerValues.push(Float64Array.from(toNumbers(await readStoredValue(model, effective, createEngine()))));
  return layerValues;
}

async function farthest(model: Model, options: Partial<QuantizeOptions>): Promise<number> {
  const before = await numbersOf(model);
  const data = memory("x", { x: numbersFor([64, 3, 6, 6], 5) });
  await quantize(model, { scheme: "weights", data, ...options });
  const after = await numbersOf(model);
  return Math.max(
    ...before.flatMap((numbers, layer) =>
      Array.from(numbers, (one, at) => Math.abs(one - (after[layer]?.[at] ?? Number.NaN)) / Math.abs(one || 1)),
    ),
  );
}

describe.each([
  ["per-channel scales", true],
  ["a scale per tensor", false],
] as const)("%s", (_, perChannel) => {
  test.each([
    ["weights", 127, undefined],
    ["static", 127, 8],
    ["static", 64, undefined],
    ["static", 7, 4],
    ["weights", 7, 4],
  ] as const)("%s stores %d steps exactly, bits %s", async (scheme, steps, bits) => {
    const settings = bits === undefined ? { scheme, perChannel } : { scheme, perChannel, bits };
    expect(await farthest(onGrid(steps, perChannel), settings)).toBeLessThan(1e-6);
  });
});
