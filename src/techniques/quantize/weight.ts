import type { Layer } from "../../core/analysis/layers.ts";
import { requireWeight, weightNeeds } from "../../core/analysis/weight.ts";
import { type Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import {
  type BlockScales,
  type Codes,
  channelRanges,
  codesTensor,
  type Matrix,
  makeCodes,
  type QuantizedTensor,
  type QuantizedType,
  quantizationParameters,
  quantizeTensor,
  type ScaleAndZeroPoint,
  sliceSteps,
  smallestScale,
} from "../../core/math/index.ts";
import { areMatrices, awaitedAnswerOf } from "../../core/pass/own-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { fromNumbers, toFloat32 } from "../../core/tensor/convert.ts";
import { deferred } from "../../core/tensor/deferred.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import { fixedDims } from "../../core/tensor/dims.ts";
import { isPacked } from "../../core/tensor/packed.ts";
import type { Dense, Tensor } from "../../core/tensor/types.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { readStoredValue, storedReader } from "../../rewrite/edit/stored.ts";
import type { Grid, LayerContext, ScaledGrid, SlicedWeight, Solver } from "../calibrate/solver.ts";
import { type Along, centerOf, gridOf, mostSteps, scaleFor, symmetricGrid, type WeightType } from "./grid.ts";
import type { ModelRoundings, WeightRounding } from "./model-roundings.ts";
import { type Kernels, neighbourSums, withNeighbours } from "./neighbours.ts";
import type { WeightCodes } from "./options.ts";
import { nearest } from "./rounders/nearest.ts";
import { asTensor, inSlices } from "./sliced-weight.ts";

export interface WeightSettings {
  readonly type: WeightType;
  readonly perChannel: boolean;
  readonly bits?: number;
  readonly zeroPoints?: boolean;
  /** With 7 bits: the kernels that multiply the values. */
  readonly kernels?: Kernels;
}

export interface RounderOptions {
  readonly rounder: string | Solver;
  readonly data?: Dataset | string | undefined;
  readonly samples: number;
}

export interface RoundingSource {
  readonly rounder: Solver;
  /** Caches for stored weights: the range of each slice along an axis, or the scales of blocks. */
  readonly ranges: WeakMap<Tensor, Ranges>;
  readonly blockScales: WeakMap<Tensor, BlockScales & { readonly of: string }>;
  knownOf(layer: Layer): Promise<LayerContext>;
}

/** Ranges of the slices along an axis; `steps` and `allSteps` are `steps` of `scaleFor` per slice and for the whole weight. */
export type Ranges = ReturnType<typeof channelRanges> & {
  readonly axis: number;
  readonly steps: ArrayLike<number>;
  readonly allSteps: number;
};

export const weightMiss = (layer: Layer): Miss | undefined => requireWeight(layer, weightNeeds.quantize);

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
  const along = (axis: number | undefined): T | undefined => roundings.find((rounding) => rounding.axis === axis);
  return along(scaleAxis(layer)) ?? along(undefined);
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
): Promise<ScaledGrid & Along> {
  const { rounder, ranges, knownOf } = rounding;
  const learned = existingRounding(layer, rounding);
  if (learned !== undefined) {
    const scale = Float32Array.from(learned.scale);
    const grid = symmetricGrid(type, learned.axis, learned);
    return { ...grid, scale, zeroPoint: new Int32Array(scale.length).fill(centerOf(grid)) };
  }
  const grid = gridOf(type, perChannel ? scaleAxis(layer) : undefined, bits, zeroPoints);
  const known = await knownOf(layer);
  const seen = layer.effective.tensor === undefined ? undefined : ranges.get(layer.effective.tensor);
  const scales = await forLayer(layer, async () => {
    if (seen !== undefined && rounder.scales === nearest.scales && (grid.axis === undefined || grid.axis === seen.axis))
      return ofRanges(rounder, grid, grid.axis === undefined ? together(seen) : seen);
    const dense = await read();
    const outputs = grid.axis === undefined ? 1 : (dense.dims[grid.axis] ?? 0);
    return scalesBy(rounder, grid, inSlices(layer, dense, outputs), known);
  });
  return { ...grid, ...scales };
}

/** Refines a 7-bit grid of "nearest" by the sums of neighboring weights (`neighbours.ts`). */
async function finer(
  layer: Layer,
  read: () => Promise<Dense>,
  grid: ScaledGrid & Along,
  { bits, kernels }: WeightSettings,
  rounding: Rounding,
): Promise<ScaledGrid & Along> {
  if (bits !== 7 || rounding.rounder !== nearest || !grid.symmetric) return grid;
  if (existingRounding(layer, rounding) !== undefined) return grid;
  const dense = await read();
  const pairs = neighbourSums(dense, scaleAxis(layer), layer.role, kernels);
  const ranges = channelRanges(dense, grid.axis);
  const steps = sliceSteps(dense, grid.axis, ranges, mostSteps);
  return withNeighbours(grid, (slice) => ({
    ...{ min: ranges.min[slice] ?? 0, max: ranges.max[slice] ?? 0, steps: steps[slice] ?? 0 },
    pair: grid.axis === undefined ? pairs.reduce((a, b) => Math.max(a, b), 0) : (pairs[slice] ?? 0),
  }));
}

type SliceRanges = Pick<Ranges, "min" | "max" | "steps">;

const together = ({ min, max, allSteps }: Ranges): SliceRanges => ({
  min: Float32Array.of(min.reduce((a, b) => Math.min(a, b), 0)),
  max: Float32Array.of(max.reduce((a, b) => Math.max(a, b), 0)),
  steps: [allSteps],
});

const ofRanges = (rounder: Solver, grid: Grid, { min, max, steps }: SliceRanges): Scales =>
  checkedScales(rounder, grid, min.length, (slice) => scaleFor(grid, min[slice] ?? 0, max[slice] ?? 0, steps[slice]));

export async function scalesBy(
  rounder: Solver,
  grid: Grid,
  weight: SlicedWeight,
  known: LayerContext,
): Promise<Scales> {
  const { slices } = weight;
  const whose = `The rounder "${rounder.id}"`;
  const found = await awaitedAnswerOf(whose, () => rounder.scales?.(weight, grid, known));
  if (!Array.isArray(found)) throw new PithError("E_OPTION", `${whose} gives no list of { scale, zeroPoint }.`);
  if (found.length !== slices)
    throw new PithError("E_OPTION", `${whose} gives ${found.length} scales for ${slices} slices.`);
  return checkedScales(rounder, grid, slices, (slice) => found[slice] ?? scaleFor(grid, 0, 0));
}

type Scales = Pick<ScaledGrid, "scale" | "zeroPoint">;

function checkedScales({ id }: Solver, grid: Grid, slices: number, of: (slice: number) => ScaleAndZeroPoint): Scales {
  const no = (text: string): PithError => new PithError("E_OPTION", `The rounder "${id}" ${text}.`);
  const zero = grid.symmetric ? centerOf(grid) : undefined;
  const [scale, zeroPoint] = [new Float32Array(slices), new Int32Array(slices)];
  for (let slice = 0; slice < slices; slice++) {
    const own = of(slice);
    // Scales of blocks can be negative, and 0 if all values are 0.
    if (!(Number.isFinite(own.scale) && (grid.block !== undefined || own.scale >= smallestScale)))
      throw no(`gives the scale ${own.scale}: it must be ${grid.block === undefined ? "positive" : "finite"}`);
    if (own.zeroPoint !== (zero ?? Math.min(grid.high, Math.max(grid.low, Math.round(own.zeroPoint)))))
      throw no(
        `gives the zero point ${own.zeroPoint}: ${zero ?? `a code from ${grid.low} to ${grid.high}`} is expected`,
      );
    scale[slice] = own.scale;
    zeroPoint[slice] = own.zeroPoint;
  }
  return { scale, zeroPoint };
}

export interface QuantizedWeight extends Omit<QuantizedTensor, "quantized"> {
  readonly quantized: Tensor;
}

/** Returns a function that reads a layer's weight; a weight that must be computed by a run is read once. */
export async function weightReader(
  model: Model,
  { effective }: Layer,
  engine: Context["engine"],
): Promise<() => Promise<Dense>> {
  const read = storedReader(effective);
  if (read !== undefined) return read;
  const dense = await readStoredValue(model, effective, engine);
  return async () => dense;
}

/** @param form `grown` enlarges the scales after they are computed, `transposed` transposes the matrix. */
export async function roundedWeight(
  model: Model,
  layer: Layer,
  settings: WeightSettings,
  rounding: Rounding,
  engine: Context["engine"],
  form: {
    readonly grown?: (grid: ScaledGrid & Along, read: () => Promise<Dense>) => Promise<ScaledGrid & Along>;
    readonly transposed?: boolean;
  } = {},
): Promise<QuantizedWeight> {
  const read = await weightReader(model, layer, engine);
  const first = await finer(layer, read, await scaledGrid(layer, read, settings, rounding), settings, rounding);
  const grid = (await form.grown?.(first, read)) ?? first;
  const own = fixedDims(layer.effective.type?.dims) ?? [];
  const { transposed: turns = false } = form;
  const dims = turns ? own.toReversed() : own;
  const axis = turns && grid.axis !== undefined ? 1 - grid.axis : grid.axis;
  const parameters = quantizationParameters(withOneScale({ ...grid, axis }));
  const { rounder, knownOf } = rounding;
  // Training has rounded a weight with learned scales to nearest.
  if (rounder.codes === undefined || existingRounding(layer, rounding) !== undefined)
    return { ...parameters, quantized: await deferred(grid.type, dims, nearestCodes(layer, read, grid, turns)) };
  const known = await knownOf(layer);
  const weight = inSlices(layer, await read(), grid.scale.length);
  const codes = await forLayer(layer, () => checkedCodes(rounder, grid, weight, known));
  const laid = fromNumbers(grid.type, own, asTensor(layer, own, codes));
  return { ...parameters, quantized: inMemory(turns ? transposed(laid) : laid) };
}

/** Stores equal scales once. */
function withOneScale<T extends ScaledGrid & Along>(grid: T): T {
  const { axis, scale, zeroPoint } = grid;
  const isOne = scale.every((one) => one === scale[0]) && zeroPoint.every((one) => one === zeroPoint[0]);
  if (axis === undefined || !isOne) return grid;
  return { ...grid, axis: undefined, scale: scale.slice(0, 1), zeroPoint: zeroPoint.slice(0, 1) };
}

// Defined here so that the closure does not keep a weight in memory: functions of one scope share their variables.
const nearestCodes =
  (layer: Layer, read: () => Promise<Dense>, grid: ScaledGrid & Along, turns: boolean) => async (): Promise<Dense> => {
    const numbers = await read();
    return forLayer(layer, () => {
      const { quantized } = quantizeTensor(numbers, { ...grid, range: grid });
      return turns ? transposed(quantized) : quantized;
    });
  };

export async function checkedCodes(
  rounder: Solver,
  grid: ScaledGrid,
  weight: SlicedWeight,
  known: LayerContext,
): Promise<readonly Matrix[]> {
  const whose = `The rounder "${rounder.id}"`;
  const codes = (await awaitedAnswerOf(whose, () => rounder.codes?.(weight, grid, known))) ?? [];
  if (!areMatrices(codes))
    throw new PithError("E_OPTION", `${whose} gives codes that are no matrices like the weight's.`);
  const [given, wanted] = [codes, weight.matrices].map((all) => all.map(({ data }) => data.length).join(" + "));
  const isWrong = (code: number): boolean => !(Number.isInteger(code) && code >= grid.low && code <= grid.high);
  const [wrong] = codes.flatMap(({ data }) => data.find(isWrong) ?? []);
  if (wrong === undefined && given === wanted) return codes;
  const problem = wrong === undefined ? `${given} codes for ${wanted} numbers` : `the code ${wrong}`;
  const text = `${whose} gives ${problem}: expected are integers from ${grid.low} to ${grid.high}.`;
  throw new PithError("E_OPTION", text);
}

function transposed(dense: Dense<QuantizedType>): Dense<QuantizedType> {
  const [rows = 0, columns = 0] = dense.dims;
  const from = isPacked(dense.type) ? toFloat32(dense) : dense.data;
  const codes = makeCodes(dense.type, from.length);
  turn(from, codes, { rows, columns });
  return codesTensor(dense.type, [columns, rows], codes);
}

/** Transposes a matrix in tiles, because element by element each access would miss the cache. */
export function turn(
  from: ArrayLike<number>,
  to: Float32Array | Codes,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): void {
  for (let top = 0; top < rows; top += tile)
    for (let left = 0; left < columns; left += tile)
      for (let x = left; x < Math.min(columns, left + tile); x++)
        for (let y = top; y < Math.min(rows, top + tile); y++) to[x * rows + y] = from[y * columns + x] ?? 0;
}

const tile = 32;

export function codesText(layer: Layer, { type, perChannel, bits }: WeightSettings, rounding: Rounding): string {
  const { rounder } = rounding;
  const known = existingRounding(layer, rounding);
  const width = type === "int4" ? 4 : 8;
  const own = known === undefined ? (bits ?? width) : Math.round(Math.log2(known.high - known.low + 1));
  // 7 bits belong to integer arithmetic and are not reported.
  const few = own < width && own !== 7 ? ` (${own}-bit values stored in ${width} bits)` : "";
  const scales = layer.role.kind === "lookup" ? "a scale per row" : "per-channel scales";
  const by = known !== undefined || rounder === nearest ? "" : `, rounded by ${rounder.id}`;
  return `weight as ${type}${few}, ${perChannel ? (rounder.scalesText ?? scales) : "one scale"}${by}`;
}

export const integersIn = ({
  weights,
}: {
  readonly weights?: WeightCodes | undefined;
}): "int8" | "uint8" | undefined => (weights === "int8" || weights === "uint8" ? weights : undefined);

/** Returns whether the options request integers, which is the default. */
export const areIntegers = (own: { readonly weights?: WeightCodes | undefined }): boolean =>
  own.weights === undefined || integersIn(own) !== undefined;

export const settingsOf = (own: {
  readonly weights?: WeightCodes | undefined;
  readonly perChannel: boolean;
  readonly zeroPoints: boolean;
}): WeightSettings => {
  return { type: integersIn(own) ?? "int8", perChannel: own.perChannel, zeroPoints: own.zeroPoints && !own.perChannel };
};

/** Returns the bits of integer products: 7 are exact for int8 on every processor; uint8 products are added in 32 bits. */
export const multipliedBits = ({ type }: WeightSettings, { bits }: { readonly bits: number }): number =>
  bits === 7 && type === "int8" ? 7 : 8;

/** Runs `work` and adds the layer's name to a rejection. */
export async function forLayer<T>(layer: Layer, work: () => T | Promise<T>): Promise<T> {
  const at = `Layer "${layer.name}"`;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PithError) || error.at === at) throw error;
    throw error.reworded({ at });
  }
}
