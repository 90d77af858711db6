/**
 * Computes compact data with which `pith plot` shows the entries of a weight that pruning by magnitude removes, for any amount. Neighboring channels
 * form a cell; a table has the removed share of each cell at 21 amounts.
 */
import { describeNonFinite, type Inference, type Layer, maskingOf, storedOutputAxis, weightStorage } from "#analysis";
import { asPithError, Miss, type Model, stridesOf, toFloat32, toFloat64 } from "#ir";
import { completeContext } from "#pass";
import { cutLeast, type Mask, type Scores } from "../../../core/math/smallest.ts";
import { readStoredValue } from "../../../rewrite/edit/stored.ts";
import { countOf } from "../../../techniques/prune/amount.ts";

const maxCells = 48;
/** Number of steps between the amounts of the table: 0, 5 %, …, 100 %. */
export const curveSteps = 20;
/** Maximum number of entries from which the table and the quantiles are computed; larger weights are sampled evenly. */
const maxSampled = 2 ** 18;

export interface WeightPicture {
  /** Number of entries that are not masked yet. */
  readonly entries: number;
  /** Magnitudes |w| at 0, 1, …, 100 % of the entries in ascending order. */
  readonly quantiles: readonly number[];
  /** Mean norm of the channels in each cell, relative to the largest. */
  readonly heat: readonly number[];
  /** Table [cells, curveSteps + 1]: removed share of a cell's entries, scaled to 0 … 255. */
  readonly curves: Uint8Array;
}

export async function weightPicture(model: Model, layer: Layer, inference: Inference): Promise<WeightPicture | Miss> {
  const { tensor } = layer.weight;
  if (tensor === undefined) return new Miss("it is not stored");
  if (weightStorage(layer) === "quantized") return dequantizedPicture(model, layer);
  const dense = await tensor.read();
  const values = dense.type === "float64" ? toFloat64(dense) : toFloat32(dense);
  const maskTensor = maskingOf(layer.weight)?.mask.tensor;
  const mask = maskTensor === undefined ? undefined : toFloat32(await maskTensor.read());
  const brokenText = describeNonFinite(values);
  if (brokenText !== undefined) return new Miss(`it ${brokenText}`);
  const output = storedOutputAxis(layer, inference);
  return pictureOf(values, mask, tensor.dims, output?.isRenumbered === false ? output.axis : undefined);
}

/**
 * Returns the picture of a quantized weight, from its dequantized values. Quantized values of different channels are not comparable: with a scale per
 * channel, the largest one of every channel is 127.
 */
async function dequantizedPicture(model: Model, { effective, role }: Layer): Promise<WeightPicture | Miss> {
  try {
    const dense = await readStoredValue(model, effective, completeContext().engine);
    return pictureOf(toFloat32(dense), undefined, dense.dims, role.out);
  } catch (error) {
    return new Miss(asPithError(error).message);
  }
}

export function pictureOf(
  values: Scores,
  mask: Float32Array | undefined,
  dims: readonly number[],
  axis: number | undefined,
): WeightPicture {
  const count = axis === undefined ? 1 : (dims[axis] ?? 1);
  const inner = axis === undefined ? Math.max(1, values.length) : (stridesOf(dims)[axis] ?? 1);
  const channelOf = (index: number): number => Math.floor(index / inner) % count;
  const squares = new Float64Array(count);
  let entries = 0;
  for (let index = 0; index < values.length; index++) {
    if (mask?.[index] === 0) continue;
    const value = values[index] ?? 0;
    const channel = channelOf(index);
    squares[channel] = (squares[channel] ?? 0) + value * value;
    entries++;
  }
  const stride = Math.max(1, Math.ceil(entries / maxSampled));
  const sampledIndices = new Uint32Array(Math.ceil(entries / stride));
  let seenEntries = 0;
  for (let index = 0; index < values.length; index++) {
    if (mask?.[index] === 0) continue;
    if (seenEntries % stride === 0) sampledIndices[seenEntries / stride] = index;
    seenEntries++;
  }
  const magnitudeAt = (index: number): number => Math.abs(values[index] ?? 0);
  const magnitudes =
    values instanceof Float32Array
      ? Float32Array.from(sampledIndices, magnitudeAt)
      : Float64Array.from(sampledIndices, magnitudeAt);
  const sorted = magnitudes.toSorted();
  const cells = Math.max(1, Math.min(count, maxCells));
  const cellOf = (channel: number): number => Math.floor((channel * cells) / count);
  const cellAt = Uint8Array.from(sampledIndices, (index) => cellOf(channelOf(index)));
  return {
    entries,
    quantiles: Array.from({ length: 101 }, (_, share) => {
      return Number((sorted[Math.round((share / 100) * (sorted.length - 1))] ?? 0).toPrecision(3));
    }),
    heat: cellHeat(squares.map(Math.sqrt), cells, cellOf),
    curves: cellCurves(magnitudes, cellAt, cells),
  };
}

function cellCurves(magnitudes: Scores, cellAt: Uint8Array, cells: number): Uint8Array {
  const steps = curveSteps + 1;
  const allEntries = new Uint8Array(magnitudes.length).fill(1);
  const curves = new Uint8Array(cells * steps);
  const sizes = countByCell(cellAt, allEntries, cells);
  for (let step = 0; step < steps; step++) {
    const remaining = cutLeast(allEntries, magnitudes, countOf({ fraction: step / curveSteps }, magnitudes.length));
    for (const [cell, count] of countByCell(cellAt, remaining, cells).entries()) {
      const size = sizes[cell] ?? 0;
      curves[cell * steps + step] = size === 0 ? 255 : Math.round((255 * (size - count)) / size);
    }
  }
  return curves;
}

function countByCell(cellAt: Uint8Array, mask: Mask, cells: number): Uint32Array {
  const counts = new Uint32Array(cells);
  for (const [index, cell] of cellAt.entries()) counts[cell] = (counts[cell] ?? 0) + (mask[index] ?? 0);
  return counts;
}

function cellHeat(norms: Float64Array, cells: number, cellOf: (channel: number) => number): readonly number[] {
  const [sums, sizes] = [new Float64Array(cells), new Float64Array(cells)];
  for (const [channel, norm] of norms.entries()) {
    const cell = cellOf(channel);
    sums[cell] = (sums[cell] ?? 0) + norm;
    sizes[cell] = (sizes[cell] ?? 0) + 1;
  }
  const means = sums.map((sum, cell) => sum / Math.max(1, sizes[cell] ?? 1));
  const largest = means.reduce((high, mean) => Math.max(high, mean), 0);
  return Array.from(means, (mean) => (largest === 0 ? 0 : mean / largest));
}
