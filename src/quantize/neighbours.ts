/**
 * Codes of int8 whose products never overflow. x86 processors without VNNI add two neighbouring products of uint8 by int8 in 16 bits, and what is beyond is lost. For
 * codes of one sign
 *
 *     255 · |q₁ + q₂| ≤ 2¹⁵ - 1  ⇔  |q₁ + q₂| ≤ 128
 *
 * Codes from -64 to 64 keep to that whatever is beside them, as ONNX Runtime's `reduce_range`. But large weights are rarely neighbours: with
 *
 *     s = max(max |w|, max |w₁ + w₂|) / 127
 *
 * each of two codes is off by a half at most, so they keep to it, too, in steps that are little more than half as wide.
 */
import type { ScaledGrid } from "../calibrate/solver.ts";
import type { WeightRole } from "../ops/index.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { type Along, scaleFor, symmetricGrid } from "./grid.ts";

/** What a slice of a weight reaches. */
export interface Reach {
  readonly min: number;
  readonly max: number;
  /** As `steps` of `scaleFor`. */
  readonly steps: number;
  /** The largest sum of two neighbours of one sign, as a magnitude. */
  readonly pair: number;
}

/** The scales of a grid from -64 to 64, for codes from -127 to 127 whose neighbours add up to 128 at most; larger ones stay. */
export function withNeighbours(grid: ScaledGrid & Along, reachOf: (slice: number) => Reach): ScaledGrid & Along {
  const wide = symmetricGrid("int8", grid.axis, { low: -127, high: 127 });
  const scale = grid.scale.map((own, slice) => {
    const { min, max, steps, pair } = reachOf(slice);
    const far = Math.max(-min, max);
    const most = Math.max(far, pair);
    // Whole multiples of a step stay so, and their sums are such.
    const sums = Math.round((most * steps) / far);
    if (steps > 0 && sums > wide.high && steps <= grid.high) return own;
    return Math.min(own, scaleFor(wide, -most, most, steps === 0 || sums > wide.high ? 0 : sums).scale);
  });
  return { ...wide, zeroPoint: grid.zeroPoint, scale };
}

/**
 * `fused`: QLinearConv goes channel by channel at each place (ONNX Runtime's `ReorderFilter`), as products do, and is exact where each channel is convolved by itself;
 * `all`: ConvInteger, too, which goes as the numbers lie.
 */
export type Kernels = "fused" | "all";

/**
 * For each output of a layer: the largest sum of two of its numbers of one sign that kernels multiply one after the other.
 */
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
    // As they lie in memory.
    if (step === 1)
      for (let place = 1; place < places.length; place++)
        for (let slice = 0; slice < largest.length; slice++) add(slice, place);
    else
      for (let slice = 0; slice < largest.length; slice++)
        for (let place = 1; place < places.length; place++) add(slice, place);
  }
  return largest;
}

/** Where the numbers of the first slice lie, the last of these axes fastest. */
function placesAlong(dims: readonly number[], order: readonly number[]): Uint32Array {
  return order.reduce((places, axis) => {
    const [count, step] = [dims[axis] ?? 0, elementCount(dims.slice(axis + 1))];
    const next = new Uint32Array(places.length * count);
    for (const [at, place] of places.entries())
      for (let index = 0; index < count; index++) next[at * count + index] = place + index * step;
    return next;
  }, new Uint32Array(1));
}
