/**
 * Scales of int8 weights for which 16-bit sums do not overflow. x86 processors without VNNI add the products 2i and 2i + 1 of uint8
 * and int8 in 16 bits, with saturation. Kernels read inputs four at a time from the first one. For weights of the same sign the sum is exact if
 *
 *     255 · |q₁ + q₂| ≤ 2¹⁵ - 1  ⇔  |q₁ + q₂| ≤ 128
 *
 * ONNX Runtime's `reduce_range` uses -64 … 64. Two large weights are rarely such neighbors, so this scale is smaller:
 *
 *     s = max(max |w|, max |w₁ + w₂|) / 127          rounding adds at most 1/2 to each, so |q₁ + q₂| ≤ 127 + 1
 */
import { type Dense, elementCount, toFloat32 } from "#ir";
import type { WeightRole } from "../../../core/ops/entry.ts";
import type { ScaledGrid } from "../../calibrate/solver.ts";
import { computeScale, type PerAxis, symmetricGrid } from "../grid.ts";

interface SliceExtremes {
  readonly min: number;
  readonly max: number;
  /** See `steps` of `computeScale`. */
  readonly steps: number;
  /** The largest |w₁ + w₂| over neighbors. */
  readonly pairSum: number;
}

/** Returns a grid of -127 … 127 with |q₁ + q₂| ≤ 128 for neighbors. Scales are at most those of `grid`, which has -64 … 64. */
export function gridWithoutOverflow(
  grid: ScaledGrid & PerAxis,
  extremesOf: (slice: number) => SliceExtremes,
): ScaledGrid & PerAxis {
  const wideGrid = symmetricGrid("int8", grid.axis, { low: -127, high: 127 });
  const scale = grid.scale.map((reducedScale, slice) => {
    const { min, max, steps, pairSum } = extremesOf(slice);
    const largest = Math.max(-min, max);
    const largestSum = Math.max(largest, pairSum);
    // Weights that are multiples of a step stay exact if the sums of neighbors are in the range, too.
    const sums = Math.round((largestSum * steps) / largest);
    if (steps > 0 && sums > wideGrid.high && steps <= grid.high) return reducedScale;
    return Math.min(
      reducedScale,
      computeScale(wideGrid, -largestSum, largestSum, steps === 0 || sums > wideGrid.high ? 0 : sums).scale,
    );
  });
  return { ...wideGrid, zeroPoint: grid.zeroPoint, scale };
}

/** Kernels that determine neighbors. `fused`: matrix products and QLinearConv, input channels innermost. `all`: also ConvInteger, in file order. */
export type Kernels = "fused" | "all";

/** Returns the largest |w₁ + w₂| over neighbors for each output index. Signs are not tested, because a test of random signs takes half of the time. */
export function neighborSums(
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
    const offsets = offsetsAlong(dims, order);
    const add = (slice: number, position: number): void => {
      const first = values[(offsets[position - 1] ?? 0) + slice * step] ?? 0;
      const sum = Math.abs(first + (values[(offsets[position] ?? 0) + slice * step] ?? 0));
      if (sum > (largest[slice] ?? 0)) largest[slice] = sum;
    };
    if (step === 1)
      for (let position = 1; position < offsets.length; position += 2)
        for (let slice = 0; slice < largest.length; slice++) add(slice, position);
    else
      for (let slice = 0; slice < largest.length; slice++)
        for (let position = 1; position < offsets.length; position += 2) add(slice, position);
  }
  return largest;
}

function offsetsAlong(dims: readonly number[], order: readonly number[]): Uint32Array {
  return order.reduce((places, axis) => {
    const [count, step] = [dims[axis] ?? 0, elementCount(dims.slice(axis + 1))];
    const next = new Uint32Array(places.length * count);
    for (const [index, offset] of places.entries())
      for (let coordinate = 0; coordinate < count; coordinate++)
        next[index * count + coordinate] = offset + coordinate * step;
    return next;
  }, new Uint32Array(1));
}
