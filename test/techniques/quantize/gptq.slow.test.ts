/** Tests GPTQ on a published language model and on correlated inputs: the error of each layer on held-out tokens. */
import { readFileSync } from "node:fs";
import { memory } from "pith/data";
import { calibrate, gramMatrices, type Matrix, multiply, parseModel, random } from "pith/extend";
import { nearest, slicedWeight } from "pith/quantize";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../../src/core/analysis/layers.ts";
import { weightMatrices } from "../../../src/core/analysis/weight-matrix.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { Miss } from "../../../src/core/errors.ts";
import { matrix, multiplyInJs, scaleColumns, subtract, transpose } from "../../../src/core/math/matrix.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored-values.ts";
import type { Gram } from "../../../src/techniques/calibrate/gram.ts";
import type { LayerContext, Solver } from "../../../src/techniques/calibrate/solver.ts";
import { blockGrid } from "../../../src/techniques/quantize/grid.ts";
import { gptq } from "../../../src/techniques/quantize/rounders/gptq.ts";
import { shared } from "../../shared.ts";

const file = shared("data/models/llama260k.onnx");
const tokens = shared("data/text/llama260k_eval_64x120_u16le.bin");

/** Returns Σ ‖x (ŵ − w)‖² for 4 bits in blocks of 32, with the Gram matrix of x. */
async function errorOf(by: Solver, weight: Matrix, gram: Matrix, known: LayerContext<Gram>, symmetric = true) {
  const grid = blockGrid({ bits: 4, block: 32, symmetric });
  const sliced = slicedWeight([weight], weight.rows, 32);
  const scales = (await by.scales?.(sliced, grid, known)) ?? [];
  const scale = Float32Array.from(scales, (own) => own.scale);
  const zeroPoint = Int32Array.from(scales, (own) => own.zeroPoint);
  const rounder: Solver = by.codes === undefined ? { ...gptq, ...by } : by;
  const context: LayerContext = by.codes === undefined ? { ...known, evidence: undefined } : known;
  const [codes] = (await rounder.codes?.(sliced, { ...grid, scale, zeroPoint }, context)) ?? [];
  const { columns } = weight;
  const rounded = (codes?.data ?? new Float64Array()).map((code, at) => {
    const slice = sliced.sliceAt(0, Math.floor(at / columns), at % columns);
    return (code - (zeroPoint[slice] ?? 0)) * (scale[slice] ?? 0);
  });
  const change = subtract(matrix(weight.rows, columns, rounded), weight);
  return multiply(change, gram).data.reduce((sum, value, at) => sum + value * (change.data[at] ?? 0), 0);
}

describe.skipIf(file === undefined || tokens === undefined)("on llama260k", () => {
  test("reduces the output error of nearly every product, on average by 40 %", async () => {
    const model = await open(file ?? "");
    const ids = new Uint16Array(Uint8Array.from(readFileSync(tokens ?? "")).buffer);
    const half = (part: number) => {
      const data = BigInt64Array.from(ids.subarray(part * 32 * 120, (part + 1) * 32 * 120), BigInt);
      const [input] = model.graph.inputs;
      return memory("tokens", { [input?.name ?? ""]: { type: "int64", dims: [32, 120], data } });
    };
    const all = layers(model, infer(model)).filter(({ role }) => role.kind !== "lookup");
    const gramsOf = async (part: number): Promise<readonly (readonly [Layer, Gram])[]> => {
      const seen = await calibrate(model, { data: half(part), samples: 32 });
      const grams: (readonly [Layer, Gram])[] = [];
      for (const layer of all) {
        const gram = await seen.collect(layer, gramMatrices);
        if (!(gram instanceof Miss)) grams.push([layer, gram]);
      }
      await seen.release();
      return grams;
    };
    const [calibrationGrams, heldOutGrams] = [await gramsOf(0), new Map(await gramsOf(1))];
    expect(calibrationGrams.length).toBe(29);
    const ratios: number[] = [];
    for (const [layer, evidence] of calibrationGrams) {
      const numbers = toNumbers(await readStoredValue(model, layer.effective, createEngine()));
      const [weight] = weightMatrices(layer.role, layer.effective.type?.dims?.map(Number) ?? [], numbers);
      const gram = heldOutGrams.get(layer)?.groups[0];
      if (weight === undefined || gram === undefined) throw new Error("There is no weight.");
      const context = { layer, evidence, random: random(1), multiply: multiplyInJs };
      const nearestError = await errorOf(nearest, weight, gram, context);
      ratios.push((await errorOf(gptq, weight, gram, context)) / nearestError);
    }
    expect(ratios.filter((ratio) => ratio < 1).length).toBeGreaterThanOrEqual(0.95 * ratios.length);
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
    expect(mean).toBeLessThan(0.6);
  });
});

test.each([true, false])(
  "has a quarter of the error of rounding to nearest on correlated inputs, symmetric %s",
  async (symmetric) => {
    const draw = random(1);
    const normal = (rows: number, columns: number): Matrix =>
      matrix(
        rows,
        columns,
        Float64Array.from({ length: rows * columns }, () => draw.normal()),
      );
    const mix = normal(256, 256);
    const weight = normal(64, 256);
    const reach = Float64Array.from({ length: 256 }, () => Math.exp(draw.normal()));
    const mixed = mix.data.map((value, at) => 0.5 * value + (at % 257 === 0 ? 1 : 0));
    const x = scaleColumns(multiply(normal(1024, 256), matrix(256, 256, mixed)), reach);
    const gram = multiply(transpose(x), x);
    const model = parseModel(`opset 17
graph (x: float32[batch, 1]) -> (y) {
  w: float32[1, 1] = [1]
  y = MatMul(x, w)
}`);
    const [layer] = layers(model, infer(model));
    if (layer === undefined) throw new Error("There is no layer.");
    const context = { layer, evidence: { rows: 1024, groups: [gram] }, random: draw, multiply: multiplyInJs };
    const [gptqError, nearestError] = [
      await errorOf(gptq, weight, gram, context, symmetric),
      await errorOf(nearest, weight, gram, context, symmetric),
    ];
    expect(gptqError).toBeLessThan(nearestError / 4);
  },
);
