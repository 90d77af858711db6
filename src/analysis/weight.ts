/**
 * A layer's weight as matrices, whatever the operator and the layout: for each group a row for each of its outputs, and a column for each number
 * that an output is a sum of, feature = input · taps + tap.
 *
 *     Gemm (outputs, inputs), MatMul (inputs, outputs)           one group
 *     Conv (groups · outputs, inputs, taps…)                     the group of an output channel
 *     ConvTranspose (groups · inputs, outputs, taps…)            the group of an input channel
 *     LSTM (directions, gates · outputs, inputs)                 a group for each direction
 */
import { type Matrix, matrix } from "../math/matrix.ts";
import type { WeightRole } from "../ops/index.ts";
import { elementCount } from "../tensor/dims.ts";

/** Number and size of the matrices of a weight. */
export interface WeightShape {
  readonly groups: number;
  /** Of each group. */
  readonly outputs: number;
  readonly inputs: number;
  /** Numbers for each pair of them: 1 of a matrix, the places of a convolution's kernel. */
  readonly taps: number;
}

export function weightShape(role: WeightRole, dims: readonly number[]): WeightShape {
  const groups = role.stack === undefined ? role.groups : (dims[role.stack] ?? 1);
  // The first axis counts the channels of all groups.
  const along = (axis: number): number => (dims[axis] ?? 0) / (axis === 0 ? role.groups : 1);
  const [outputs, inputs] = [along(role.out), along(role.in)];
  const whole = elementCount(dims);
  return { groups, outputs, inputs, taps: whole === 0 ? 0 : whole / (groups * outputs * inputs) };
}

/**
 * The matrices of a weight, outputs × features.
 * @param values the numbers of a tensor with these dimensions, row-major.
 */
export function weightMatrices(
  role: WeightRole,
  dims: readonly number[],
  values: ArrayLike<number>,
): readonly Matrix[] {
  const { groups, outputs, inputs, taps } = weightShape(role, dims);
  const features = inputs * taps;
  const all = new Float64Array(values.length);
  placesOf(role, dims).forEach((place, at) => {
    all[place] = values[at] ?? 0;
  });
  const size = outputs * features;
  return Array.from({ length: groups }, (_, group) =>
    matrix(outputs, features, all.subarray(group * size, (group + 1) * size)),
  );
}

/** The inverse: the numbers of a tensor with these dimensions whose matrices are given. */
export function weightNumbers(role: WeightRole, dims: readonly number[], matrices: readonly Matrix[]): Float64Array {
  const { outputs, inputs, taps } = weightShape(role, dims);
  const size = outputs * inputs * taps;
  return Float64Array.from(
    placesOf(role, dims),
    (place) => matrices[Math.floor(place / size)]?.data[place % size] ?? 0,
  );
}

/** Index of each element of the tensor in the concatenated matrices: the sum of one offset for each axis. */
function placesOf(role: WeightRole, dims: readonly number[]): Uint32Array {
  const { outputs, inputs, taps } = weightShape(role, dims);
  const size = outputs * inputs * taps;
  let tap = taps;
  let places = new Uint32Array(1);
  dims.forEach((count, axis) => {
    let added: (index: number) => number;
    if (axis === role.stack) added = (index) => index * size;
    else if (axis === role.out) added = grouped(outputs, inputs * taps, size);
    else if (axis === role.in) added = grouped(inputs, taps, size);
    else {
      tap /= count;
      const step = tap;
      added = (index) => index * step;
    }
    const next = new Uint32Array(places.length * count);
    places.forEach((place, block) => {
      for (let index = 0; index < count; index++) next[block * count + index] = place + added(index);
    });
    places = next;
  });
  return places;
}

/** Along an axis with so many entries for each group, and a step between them. */
function grouped(each: number, step: number, size: number): (index: number) => number {
  return (index) => Math.floor(index / each) * size + (index % each) * step;
}

/** "holds NaN", "holds infinity": why nothing can be made of these numbers. What a mask hides does not count. */
export function brokenNumbers(values: ArrayLike<number>, mask?: ArrayLike<number>): string | undefined {
  for (let at = 0; at < values.length; at++) {
    const value = values[at] ?? 0;
    if (value - value !== 0 && mask?.[at] !== 0) return `holds ${Number.isNaN(value) ? "NaN" : "infinity"}`;
  }
  return undefined;
}
