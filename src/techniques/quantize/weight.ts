/** Rounds the weight of a layer: computes scales and quantized values by the rounding method. */
import { checkWeight, type Layer, optionsOfLayer, weightNeeds } from "#analysis";
import type { Dataset } from "#batches";
import type { Dense, Miss, Model, Tensor } from "#ir";
import { deferTensor, fixedDims, fromNumbers, inMemory, isPacked, optionError, PithError, toFloat32 } from "#ir";
import type { Context } from "#pass";
import type { Matrix } from "../../core/math/matrix.ts";
import { createStoredReader, readStoredValue } from "../../rewrite/edit/stored.ts";
import type { Grid, LayerContext, ScaledGrid, SlicedWeight, Solver } from "../calibrate/solver.ts";
import {
  type Codes,
  makeCodes,
  type QuantizedType,
  type ScaleAndZeroPoint,
  smallestScale,
} from "../shared/affine-codes.ts";
import type { BlockScales } from "../shared/blocks.ts";
import { areMatrices, awaitedAnswerOf } from "../shared/methods.ts";
import { centerOf, computeScale, gridOf, maxSteps, type PerAxis, symmetricGrid, type WeightType } from "./grid.ts";
import { type Kernels, neighbourSums, withNeighbours } from "./neighbours.ts";
import {
  channelRanges,
  codesTensor,
  type QuantizedTensor,
  quantizationParameters,
  quantizeTensor,
  sliceSteps,
} from "./quantize-tensor.ts";
import { nearest } from "./rounders/nearest.ts";
import type { ModelRoundings, WeightRounding } from "./rounding.ts";
import type { RoundedSettings, WeightsSettings } from "./settings.ts";
import { asTensor, sliceWeight } from "./sliced-weight.ts";

export interface WeightSettings {
  readonly type: WeightType;
  readonly perChannel: boolean;
  readonly bits: number;
  readonly zeroPoints?: boolean;
  /** With 7 bits: the order in which kernels add products (`neighbours.ts`). */
  readonly kernels?: Kernels;
}

export interface RounderOptions {
  readonly rounder: string | Solver;
  readonly data?: Dataset | string | undefined;
  readonly samples: number;
}

export interface RoundingSource {
  readonly model: Model;
  readonly context: Context;
  readonly rounder: Solver;
  /** Measurements of stored weights, taken when a weight was checked, so that it is not read again. */
  readonly measured: WeakMap<Tensor, MeasuredWeight>;
  contextOf(layer: Layer): Promise<LayerContext>;
  /** Rounds a weight, or returns the result of an earlier run of the step with the same weight, settings and `form`. */
  roundOnce<T>(layer: Layer, weight: Dense, form: object, round: (context: LayerContext) => Promise<T>): Promise<T>;
}

export interface MeasuredWeight {
  readonly ranges?: ReadonlyMap<number | undefined, readonly SliceRange[]>;
  /** Scales of the blocks, valid for the layer and settings that their `key` states (`blocksKey`). */
  readonly blocks?: MeasuredBlocks;
}

export interface MeasuredBlocks {
  readonly key: string;
  readonly scales: BlockScales;
  /** Whether the scales keep all values, which were quantized before. */
  readonly isExact: boolean;
  /** Scales and real zero points that keep all values, if integer zero points do not. */
  readonly lattice: BlockScales | undefined;
}

/** A range with the `steps` of `computeScale`. */
interface SliceRange {
  readonly min: number;
  readonly max: number;
  readonly steps: number;
}

export const weightMiss = (layer: Layer): Miss | undefined => checkWeight(layer, weightNeeds.quantize);

/** Returns the axis of the scales: the outputs of a product, or the rows of an embedding table, which are read separately. */
export const scaleAxis = ({ role }: Layer): number => (role.kind === "lookup" ? role.in : role.out);

export function slicedAxis(layer: Layer, perChannel: boolean): number | undefined {
  const axis = scaleAxis(layer);
  return perChannel && fixedDims(layer.effective.type?.dims)?.[axis] !== 1 ? axis : undefined;
}

/** Selects the fake quantization of a weight that a layer reads: along its scale axis, or else with one scale. */
export function roundingOf<T extends { readonly axis: number | undefined }>(
  layer: Layer,
  roundings: readonly T[] = [],
): T | undefined {
  const findByAxis = (axis: number | undefined): T | undefined => roundings.find((rounding) => rounding.axis === axis);
  return findByAxis(scaleAxis(layer)) ?? findByAxis(undefined);
}

export const existingRounding = (layer: Layer, { existing }: Pick<Rounding, "existing">): WeightRounding | undefined =>
  roundingOf(layer, existing.weights.get(layer.effective));

export interface Rounding extends RoundingSource {
  readonly existing: ModelRoundings;
}

export async function scaledGrid(
  layer: Layer,
  read: () => Promise<Dense>,
  { type, perChannel, bits, zeroPoints }: WeightSettings,
  rounding: Rounding,
): Promise<ScaledGrid & PerAxis> {
  const { rounder } = rounding;
  const learned = existingRounding(layer, rounding);
  if (learned !== undefined) {
    const scale = Float32Array.from(learned.scale);
    const grid = symmetricGrid(type, learned.axis, learned);
    return { ...grid, scale, zeroPoint: new Int32Array(scale.length).fill(centerOf(grid)) };
  }
  const grid = gridOf(type, perChannel ? scaleAxis(layer) : undefined, bits, zeroPoints);
  const scales = await withLayerName(layer, async () => {
    if (rounder.scales === nearest.scales) {
      const ranges = measuredRanges(layer, grid, rounding) ?? rangesOf(await read(), grid.axis);
      return checkScales(
        rounder,
        grid,
        ranges.map(({ min, max, steps }) => computeScale(grid, min, max, steps)),
      );
    }
    const dense = await read();
    const outputs = grid.axis === undefined ? 1 : (dense.dims[grid.axis] ?? 0);
    return rounding.roundOnce(layer, dense, grid, (context) =>
      computeScales(rounder, grid, sliceWeight(layer, dense, outputs), context),
    );
  });
  return { ...grid, ...scales };
}

const measuredRanges = ({ effective: { tensor } }: Layer, { axis }: PerAxis, { measured }: RoundingSource) =>
  tensor && measured.get(tensor)?.ranges?.get(axis);

export function rangesOf(dense: Dense, axis: number | undefined): readonly SliceRange[] {
  const { min, max } = channelRanges(dense, axis);
  const steps = sliceSteps(dense, axis, { min, max }, maxSteps);
  return Array.from(min, (lowest, slice) => ({ min: lowest, max: max[slice] ?? 0, steps: steps[slice] ?? 0 }));
}

/** Refines a 7-bit grid of "nearest" by the sums of neighboring weights (`neighbours.ts`). */
async function refineGrid(
  layer: Layer,
  read: () => Promise<Dense>,
  grid: ScaledGrid & PerAxis,
  { bits, kernels }: WeightSettings,
  rounding: Rounding,
): Promise<ScaledGrid & PerAxis> {
  if (bits !== 7 || rounding.rounder !== nearest || !grid.symmetric) return grid;
  if (existingRounding(layer, rounding) !== undefined) return grid;
  const dense = await read();
  const pairSums = neighbourSums(dense, scaleAxis(layer), layer.role, kernels);
  const ranges = measuredRanges(layer, grid, rounding) ?? rangesOf(dense, grid.axis);
  return withNeighbours(grid, (slice) => ({
    ...(ranges[slice] ?? { min: 0, max: 0, steps: 0 }),
    pairSum: grid.axis === undefined ? pairSums.reduce((a, b) => Math.max(a, b), 0) : (pairSums[slice] ?? 0),
  }));
}

export async function computeScales(
  rounder: Solver,
  grid: Grid,
  weight: SlicedWeight,
  context: LayerContext,
): Promise<Scales> {
  const method = `The rounder "${rounder.id}"`;
  const scales = await awaitedAnswerOf(method, () => rounder.scales?.(weight, grid, context));
  if (!Array.isArray(scales)) throw optionError(`${method} gives no list of { scale, zeroPoint }.`);
  if (scales.length !== weight.slices)
    throw optionError(`${method} gives ${scales.length} scales for ${weight.slices} slices.`);
  return checkScales(rounder, grid, scales);
}

type Scales = Pick<ScaledGrid, "scale" | "zeroPoint">;

function checkScales({ id }: Solver, grid: Grid, scales: readonly ScaleAndZeroPoint[]): Scales {
  const reject = (text: string): PithError => optionError(`The rounder "${id}" ${text}.`);
  const center = grid.symmetric ? centerOf(grid) : undefined;
  for (const { scale, zeroPoint } of scales) {
    // Scales of blocks can be negative, and 0 if all values are 0.
    if (!(Number.isFinite(scale) && (grid.block !== undefined || scale >= smallestScale)))
      throw reject(`gives the scale ${scale}: it must be ${grid.block === undefined ? "positive" : "finite"}`);
    if (zeroPoint !== (center ?? Math.min(grid.high, Math.max(grid.low, Math.round(zeroPoint)))))
      throw reject(
        `gives the zero point ${zeroPoint}: ${center ?? `a code from ${grid.low} to ${grid.high}`} is expected`,
      );
  }
  return {
    scale: Float32Array.from(scales, ({ scale }) => scale),
    zeroPoint: Int32Array.from(scales, ({ zeroPoint }) => zeroPoint),
  };
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
  return { ...parameters, quantized: inMemory(isTransposed ? transposed(quantizedDense) : quantizedDense) };
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
      return isTransposed ? transposed(quantized) : quantized;
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

function transposed(dense: Dense<QuantizedType>): Dense<QuantizedType> {
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

/** Returns how the options store a weight as integers of a width; up to 4 bits are stored as int4. */
export const integerWeight = (
  { weights, perChannel, zeroPoints }: Pick<WeightsSettings, "weights" | "perChannel" | "zeroPoints">,
  bits = 8,
): WeightSettings => ({
  type: bits <= 4 ? "int4" : weights === "uint8" ? "uint8" : "int8",
  ...{ perChannel, bits },
  zeroPoints: zeroPoints === true && !perChannel && (bits === 4 || bits > 6),
});

/** Returns the bits of integer products: 7 are exact for int8; uint8 products are added in 32 bits. */
export const productBits = ({ bits, weights }: Pick<WeightsSettings, "bits" | "weights">): 7 | 8 =>
  bits === 7 && weights !== "uint8" ? 7 : 8;

export async function withLayerName<T>(layer: Layer, work: () => T | Promise<T>): Promise<T> {
  const at = `Layer "${layer.name}"`;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PithError) || error.at === at) throw error;
    throw error.reworded({ at });
  }
}

export const staysFloat = (layer: Layer, options: RoundedSettings): boolean =>
  optionsOfLayer<RoundedSettings & { readonly float?: boolean | undefined }>(options, layer).options.float === true;
