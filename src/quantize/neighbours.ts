/**
 * int8 codes that do not overflow. x86 processors without VNNI multiply uint8 activations by int8 weights and add two neighbouring products in 16 bits, with saturation.
 * The sum is exact if, for two codes of the same sign,
 *
 *     255 · |q₁ + q₂| ≤ 2¹⁵ - 1  ⇔  |q₁ + q₂| ≤ 128
 *
 * ONNX Runtime's `reduce_range` ensures it by codes from -64 to 64, which has half of the steps. Two large weights are rarely neighbours, so the scale
 *
 *     s = max(max |w|, max |w₁ + w₂|) / 127
 *
 * is smaller: rounding adds at most a half to each code, so |q₁ + q₂| ≤ 127 + 1.
 */
import type { ScaledGrid } from "../calibrate/solver.ts";
import type { WeightRole } from "../ops/index.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { type Along, scaleFor, symmetricGrid } from "./grid.ts";

/** The range of a slice of a weight, and of the sums of its neighbours. */
export interface Reach {
  readonly min: number;
  readonly max: number;
  /** As `steps` of `scaleFor`. */
  readonly steps: number;
  /** The largest |w₁ + w₂| over neighbours of the same sign. */
  readonly pair: number;
}

/** A grid of codes from -127 to 127 with |q₁ + q₂| ≤ 128 for neighbours. Scales are at most those of the given grid, which has codes from -64 to 64. */
export function withNeighbours(grid: ScaledGrid & Along, reachOf: (slice: number) => Reach): ScaledGrid & Along {
  const wide = symmetricGrid("int8", grid.axis, { low: -127, high: 127 });
  const scale = grid.scale.map((own, slice) => {
    const { min, max, steps, pair } = reachOf(slice);
    const far = Math.max(-min, max);
    const most = Math.max(far, pair);
    // Weights that are multiples of a step keep their values where the sums fit, too.
    const sums = Math.round((most * steps) / far);
    if (steps > 0 && sums > wide.high && steps <= grid.high) return own;
    return Math.min(own, scaleFor(wide, -most, most, steps === 0 || sums > wide.high ? 0 : sums).scale);
  });
  return { ...wide, zeroPoint: grid.zeroPoint, scale };
}

/**
 * The order in which kernels multiply weights. `fused`: QLinearConv has input channels innermost (ONNX Runtime's `ReorderFilter`), as matrix products have, and its depthwise
 * kernel adds in 32 bits; `all`: ConvInteger, too, which has the order of the file.
 */
export type Kernels = "fused" | "all";

/** For each index along the output axis of a weight: the largest |w₁ + w₂| over neighbours of the same sign, 0 where there are none. */
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
  const others = [...dims.keys()].filter((other) => other !== axis);
  const byChannel = inputs === axis ? others : [...others.filter((other) => other !== inputs), inputs];
  const orders = kernels === "fused" || String(byChannel) === String(others) ? [byChannel] : [byChannel, others];
  for (const order of orders) {
    const places = placesAlong(dims, order);
    const add = (slice: number, place: number): void => {
      const [a, b] = [
        values[(places[place - 1] ?? 0) + slice * step] ?? 0,
        values[(places[place] ?? 0) + slice * step] ?? 0,
      ];
      if (a * b > 0) largest[slice] = Math.max(largest[slice] ?? 0, Math.abs(a + b));
    };
    // In the order of memory.
    if (step === 1)
      for (let place = 1; place < places.length; place++)
        for (let slice = 0; slice < largest.length; slice++) add(slice, place);
    else
      for (let slice = 0; slice < largest.length; slice++)
        for (let place = 1; place < places.length; place++) add(slice, place);
  }
  return largest;
}

/** Offsets of the elements of the first slice, the last of these axes innermost. */
function placesAlong(dims: readonly number[], order: readonly number[]): Uint32Array {
  return order.reduce((places, axis) => {
    const [count, step] = [dims[axis] ?? 0, elementCount(dims.slice(axis + 1))];
    const next = new Uint32Array(places.length * count);
    for (const [at, place] of places.entries())
      for (let index = 0; index < count; index++) next[at * count + index] = place + index * step;
    return next;
  }, new Uint32Array(1));
}
