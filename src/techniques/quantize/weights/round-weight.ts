/** Rounds the weight of a layer: computes its quantized values by the rounding method, or to nearest. */
import type { Layer } from "#analysis";
import type { Dense, Tensor } from "#ir";
import { deferTensor, fixedDims, fromNumbers, inMemory, isPacked, optionError, toFloat32 } from "#ir";
import type { Matrix } from "../../../core/math/matrix.ts";
import { createStoredReader, readStoredValue } from "../../../rewrite/edit/stored-values.ts";
import type { LayerContext, ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { type Codes, makeCodes, type QuantizedType } from "../../shared/affine-codes.ts";
import { areMatrices, awaitedAnswerOf } from "../../shared/methods.ts";
import type { PerAxis } from "../grid.ts";
import { codesTensor, type QuantizedTensor, quantizationParameters, quantizeTensor } from "../quantize-tensor.ts";
import { nearest } from "../rounders/nearest.ts";
import { existingRounding, type Rounding, withLayerName } from "./rounding-source.ts";
import { asTensor, sliceWeight } from "./sliced-weight.ts";
import { refineGrid, scaledGrid } from "./weight-scales.ts";
import type { WeightSettings } from "./weight-settings.ts";

/** Rounds a layer's weight. @param form `grown` enlarges the scales after they are computed, `transposed` transposes the matrix. */
export async function roundWeight(
  layer: Layer,
  settings: WeightSettings,
  rounding: Rounding,
  form: {
    readonly grown?: (grid: ScaledGrid & PerAxis, read: () => Promise<Dense>) => Promise<ScaledGrid & PerAxis>;
    readonly transposed?: boolean;
  } = {},
): Promise<QuantizedWeight> {
  const read = await weightReader(layer, rounding);
  const baseGrid = await scaledGrid(layer, read, settings, rounding);
  const refinedGrid = await refineGrid(layer, read, baseGrid, settings, rounding);
  const grid = (await form.grown?.(refinedGrid, read)) ?? refinedGrid;
  const storedDims = fixedDims(layer.effective.type?.dims) ?? [];
  const { transposed: isTransposed = false } = form;
  const dims = isTransposed ? storedDims.toReversed() : storedDims;
  const axis = isTransposed && grid.axis !== undefined ? 1 - grid.axis : grid.axis;
  const parameters = quantizationParameters(withOneScale({ ...grid, axis }));
  const { rounder } = rounding;
  // A weight with learned scales is rounded to nearest, as in its training.
  if (rounder.codes === undefined || existingRounding(layer, rounding) !== undefined)
    return {
      ...parameters,
      quantized: await deferTensor(grid.type, dims, nearestCodes(layer, read, grid, isTransposed)),
    };
  const numbers = await read();
  const codesForm = { ...grid, scale: [...grid.scale], zeroPoint: [...grid.zeroPoint] };
  const quantizedDense = await rounding.roundOnce(layer, numbers, codesForm, async (context) => {
    const weight = sliceWeight(layer, numbers, grid.scale.length);
    const codes = await withLayerName(layer, () => computeCodes(rounder, grid, weight, context));
    return fromNumbers(grid.type, storedDims, asTensor(layer, storedDims, codes));
  });
  return { ...parameters, quantized: inMemory(isTransposed ? transposeCodes(quantizedDense) : quantizedDense) };
}

export interface QuantizedWeight extends Omit<QuantizedTensor, "quantized"> {
  readonly quantized: Tensor;
}

/** Returns a function that reads a layer's weight. */
export async function weightReader(
  { effective }: Layer,
  { model, context }: Pick<Rounding, "model" | "context">,
): Promise<() => Promise<Dense>> {
  const read = createStoredReader(effective);
  if (read !== undefined) return read;
  const dense = await readStoredValue(model, effective, context.engine);
  return async () => dense;
}

/** Replaces the scales of all channels by a single scale if they are equal. */
function withOneScale<T extends ScaledGrid & PerAxis>(grid: T): T {
  const { axis, scale, zeroPoint } = grid;
  if (axis === undefined || !isConstant(scale) || !isConstant(zeroPoint)) return grid;
  return { ...grid, axis: undefined, scale: scale.slice(0, 1), zeroPoint: zeroPoint.slice(0, 1) };
}

const isConstant = (values: Float32Array | Int32Array): boolean => values.every((value) => value === values[0]);

// Defined here so that the closure does not keep a weight in memory: functions of one scope share their variables.
const nearestCodes =
  (layer: Layer, read: () => Promise<Dense>, grid: ScaledGrid & PerAxis, isTransposed: boolean) =>
  async (): Promise<Dense> => {
    const numbers = await read();
    return withLayerName(layer, () => {
      const { quantized } = quantizeTensor(numbers, { ...grid, range: grid });
      return isTransposed ? transposeCodes(quantized) : quantized;
    });
  };

export async function computeCodes(
  rounder: Solver,
  grid: ScaledGrid,
  weight: SlicedWeight,
  context: LayerContext,
): Promise<readonly Matrix[]> {
  const method = `The rounder "${rounder.id}"`;
  const codes = (await awaitedAnswerOf(method, () => rounder.codes?.(weight, grid, context))) ?? [];
  if (!areMatrices(codes))
    throw optionError(`${method}: expected quantized values as matrices of the weight's size, got other values.`);
  const [count, expected] = [codes, weight.matrices].map((all) => all.map(({ data }) => data.length).join(" + "));
  const isWrong = (code: number): boolean => !(Number.isInteger(code) && code >= grid.low && code <= grid.high);
  const [invalidCode] = codes.flatMap(({ data }) => data.find(isWrong) ?? []);
  if (invalidCode === undefined && count === expected) return codes;
  const problem = invalidCode === undefined ? `${count} codes for ${expected} numbers` : `the code ${invalidCode}`;
  const text = `${method} gives ${problem}: expected are integers from ${grid.low} to ${grid.high}.`;
  throw optionError(text);
}

function transposeCodes(dense: Dense<QuantizedType>): Dense<QuantizedType> {
  const [rows = 0, columns = 0] = dense.dims;
  const from = isPacked(dense.type) ? toFloat32(dense) : dense.data;
  const codes = makeCodes(dense.type, from.length);
  transposeTensor(from, codes, { rows, columns });
  return codesTensor(dense.type, [columns, rows], codes);
}

/** Transposes a matrix in tiles, because element by element each access would miss the cache. */
function transposeTensor(
  from: ArrayLike<number>,
  to: Float32Array | Codes,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): void {
  for (let top = 0; top < rows; top += tile)
    for (let first = 0; first < columns; first += tile)
      for (let x = first; x < Math.min(columns, first + tile); x++)
        for (let y = top; y < Math.min(rows, top + tile); y++) to[x * rows + y] = from[y * columns + x] ?? 0;
}

const tile = 32;

export function codesText(layer: Layer, { type, perChannel, bits }: WeightSettings, rounding: Rounding): string {
  const { rounder } = rounding;
  const learned = existingRounding(layer, rounding);
  const width = type === "int4" ? 4 : 8;
  const levelBits = learned === undefined ? bits : Math.round(Math.log2(learned.high - learned.low + 1));
  // 7 bits are not reported: they keep int8 products exact (`productBits`).
  const levelText = levelBits < width && levelBits !== 7 ? ` (${levelBits}-bit values stored in ${width} bits)` : "";
  const scales = layer.role.kind === "lookup" ? "a scale per row" : "a scale per output channel";
  const methodText = learned !== undefined || rounder === nearest ? "" : `, rounded by ${rounder.id}`;
  return `weight as ${type}${levelText}, ${perChannel ? (rounder.scalesText ?? scales) : "one scale"}${methodText}`;
}
