/** Functions on pruning masks (row-major, 1 for kept and 0 for pruned entries) and norms of channels. Pruned entries stay pruned. */
import { type AxisLayout, alongAxis, PithError } from "#ir";
import { matrix } from "../../core/math/matrix.ts";
import type { Mask } from "../../core/math/smallest.ts";
import { singularValues } from "../../core/math/svd.ts";

/** Order of a norm: any p, ±Infinity, "fro" (2), or "nuc", the sum of singular values of each slice of a three-dimensional tensor. */
export type Norm = number | "fro" | "nuc";

export function keptCount(mask: Mask): number {
  let count = 0;
  for (const kept of mask) count += kept;
  return count;
}

export function intersect(a: Mask, b: Mask): Mask {
  return a.map((kept, index) => kept & (b[index] ?? 0));
}

export function keptChannels(mask: Mask, channels: AxisLayout): readonly number[] {
  const { outer, count, inner } = channels;
  return Array.from({ length: count }, (_, channel) => channel).filter((channel) => {
    for (let block = 0; block < outer; block++) {
      const start = (block * count + channel) * inner;
      for (let index = start; index < start + inner; index++) if (mask[index] === 1) return true;
    }
    return false;
  });
}

export function pruneChannels(mask: Mask, channels: AxisLayout, pruned: Iterable<number>): Mask {
  const { outer, count, inner } = channels;
  const result = mask.slice();
  for (const channel of pruned) {
    for (let block = 0; block < outer; block++) {
      const start = (block * count + channel) * inner;
      result.fill(0, start, start + inner);
    }
  }
  return result;
}

/**
 * Returns the norm of each channel in float64: (Σ |x|ⁿ)^(1/n); the largest or smallest |x| for ±Infinity, the number of nonzeros for 0.
 * @throws PithError E_SHAPE_MISMATCH for "nuc" if a channel is not a matrix.
 */
export function channelNorms(values: ArrayLike<number>, dims: readonly number[], axis: number, n: Norm): Float64Array {
  if (n === "nuc") return nuclearNorms(values, dims, axis);
  const order = n === "fro" ? 2 : n;
  const { count, inner } = alongAxis(dims, axis);
  const norms = new Float64Array(count).fill(order === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : 0);
  for (let start = 0; start < values.length; start += count * inner)
    for (let channel = 0, index = start; channel < count; channel++) {
      let norm = norms[channel] as number;
      for (const end = index + inner; index < end; index++)
        norm = accumulate(norm, Math.abs(values[index] as number), order);
      norms[channel] = norm;
    }
  return Number.isFinite(order) && order !== 0 ? norms.map((sum) => sum ** (1 / order)) : norms;
}

function accumulate(sum: number, size: number, order: number): number {
  if (order === 2) return sum + size * size;
  if (order === 1) return sum + size;
  if (order === Number.POSITIVE_INFINITY) return Math.max(sum, size);
  if (order === Number.NEGATIVE_INFINITY) return Math.min(sum, size);
  if (order === 0) return size === 0 ? sum : sum + 1;
  return sum + size ** order;
}

export function rowsAlong(numbers: ArrayLike<number>, dims: readonly number[], axis: number): readonly Float64Array[] {
  const { outer, count, inner } = alongAxis(dims, axis);
  return Array.from({ length: count }, (_, channel) =>
    Float64Array.from({ length: outer * inner }, (_, index) => {
      const block = Math.floor(index / inner);
      return numbers[(block * count + channel) * inner + (index % inner)] ?? 0;
    }),
  );
}

function nuclearNorms(values: ArrayLike<number>, dims: readonly number[], axis: number): Float64Array {
  if (dims.length !== 3) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `The nuclear norm takes matrices: channels of a tensor with three axes, not ${dims.length}.`,
    );
  }
  const [rows = 1, columns = 1] = dims.filter((_, other) => other !== axis);
  return Float64Array.from(rowsAlong(values, dims, axis), (entries) =>
    entries.length === 0 ? 0 : singularValues(matrix(rows, columns, entries)).reduce((sum, value) => sum + value, 0),
  );
}
