/**
 * Scales of int8 weights for which 16-bit sums do not overflow. x86 processors without VNNI add two adjacent products of uint8
 * and int8 in 16 bits, with saturation. For weights of the same sign the sum is exact if
 *
 *     255 · |q₁ + q₂| ≤ 2¹⁵ - 1  ⇔  |q₁ + q₂| ≤ 128
 *
 * ONNX Runtime's `reduce_range` uses -64 … 64. Two large weights are rarely adjacent, so this scale is smaller:
 *
 *     s = max(max |w|, max |w₁ + w₂|) / 127          rounding adds at most 1/2 to each, so |q₁ + q₂| ≤ 127 + 1
 */

import type { WeightRole } from "../../core/ops/entry.ts";
import { toFloat32 } from "../../core/tensor/convert.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { Dense } from "../../core/tensor/types.ts";
import type { ScaledGrid } from "../calibrate/solver.ts";
import { type Along, computeScale, symmetricGrid } from "./grid.ts";

interface SliceExtremes {
  readonly min: number;
  readonly max: number;
  /** See `steps` of `computeScale`. */
  readonly steps: number;
  /** The largest |w₁ + w₂| over neighbors of the same sign. */
  readonly pair: number;
}

/** Returns a grid of -127 … 127 with |q₁ + q₂| ≤ 128 for neighbors, with scales at most those of the given -64 … 64 grid. */
export function withNeighbours(
  grid: ScaledGrid & Along,
  reachOf: (slice: number) => SliceExtremes,
): ScaledGrid & Along {
  const wideGrid = symmetricGrid("int8", grid.axis, { low: -127, high: 127 });
  const scale = grid.scale.map((coarse, slice) => {
    const { min, max, steps, pair } = reachOf(slice);
    const largest = Math.max(-min, max);
    const reach = Math.max(largest, pair);
    // Weights on a grid stay exact if the sums of neighbors fit, too.
    const sums = Math.round((reach * steps) / largest);
    if (steps > 0 && sums > wideGrid.high && steps <= grid.high) return coarse;
    return Math.min(
      coarse,
      computeScale(wideGrid, -reach, reach, steps === 0 || sums > wideGrid.high ? 0 : sums).scale,
    );
  });
  return { ...wideGrid, zeroPoint: grid.zeroPoint, scale };
}

/**
 * Multiplication order of kernels. `fused`: input channels innermost (matrix products, QLinearConv, whose depthwise kernel adds
 * in 32 bits); `all`: also ConvInteger, in the file's order.
 */
export type Kernels = "fused" | "all";

/** Returns the largest |w₁ + w₂| over neighbors of the same sign for each output index, or 0 without such neighbors. */
export function neighbourSums(
  { dims, ...dense }: Dense,
  axis: number,
  { in: inputs, groups }: Pick<WeightRole, "in" | "groups">,
  kernels: Kernels = "all",
): Float32Array {
  const largest = new Float32Array(dims[axis] ?? 0);
  if (kernels === "fused" && groups > 1 && groups === dims[axis] && dims[inputs] === 1) return largest;
  const values = toFloat32({ dims, ...dense });
  const step = elementCount(dims.slice(axis + 1));
  const stored = [...dims.keys()].filter((other) => other !== axis);
  const byChannel = inputs === axis ? stored : [...stored.filter((other) => other !== inputs), inputs];
  const orders = kernels === "fused" || String(byChannel) === String(stored) ? [byChannel] : [byChannel, stored];
  for (const order of orders) {
    const places = placesAlong(dims, order);
    const add = (slice: number, position: number): void => {
      const [a, b] = [
        values[(places[position - 1] ?? 0) + slice * step] ?? 0,
        values[(places[position] ?? 0) + slice * step] ?? 0,
      ];
      if (a * b > 0) largest[slice] = Math.max(largest[slice] ?? 0, Math.abs(a + b));
    };
    if (step === 1)
      for (let position = 1; position < places.length; position++)
        for (let slice = 0; slice < largest.length; slice++) add(slice, position);
    else
      for (let slice = 0; slice < largest.length; slice++)
        for (let position = 1; position < places.length; position++) add(slice, position);
  }
  return largest;
}

function placesAlong(dims: readonly number[], order: readonly number[]): Uint32Array {
  return order.reduce((places, axis) => {
    const [count, step] = [dims[axis] ?? 0, elementCount(dims.slice(axis + 1))];
    const next = new Uint32Array(places.length * count);
    for (const [index, offset] of places.entries())
      for (let coordinate = 0; coordinate < count; coordinate++)
        next[index * count + coordinate] = offset + coordinate * step;
    return next;
  }, new Uint32Array(1));
}
