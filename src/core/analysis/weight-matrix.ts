/**
 * Converts weights to matrices, one per group, and back. Rows are outputs. Columns are features: feature = input · taps + tap, where taps are
 * kernel positions.
 *      Gemm (outputs, inputs), MatMul (inputs, outputs)           one group
 *      Conv (groups · outputs, inputs, taps…)                     a group per group of output channels
 *      ConvTranspose (groups · inputs, outputs, taps…)            a group per group of input channels
 *      LSTM (directions, gates · outputs, inputs)                 a group per direction
 *      MatMul (stack…, inputs, outputs)                           a group per stacked matrix
 *      Einsum "bsd,dhk->bshk" (inputs, channels, taps)            one group, with an output per (channel, tap)
 *      Einsum "bshk,hkd->bsd" (inputs, taps, outputs)             one group
 */
import { elementCount } from "#graph";
import { type Matrix, matrix } from "../math/matrix.ts";
import type { WeightRole } from "../ops/entry.ts";

export interface WeightShape {
  readonly groups: number;
  readonly outputs: number;
  readonly inputs: number;
  /** Elements per (output, input) pair: 1 for a matrix, the number of kernel positions for a convolution. */
  readonly taps: number;
}

export function weightShape(role: WeightRole, dims: readonly number[]): WeightShape {
  const count = (axes: readonly number[]): number =>
    axes.reduce((product, axis) => product * sizePerGroup(role, dims, axis), 1);
  const groups = role.groups * count(role.stack ?? []);
  const [outputs, inputs] = [count([role.out, ...(role.outTaps ?? [])]), count([role.in])];
  const elements = elementCount(dims);
  return { groups, outputs, inputs, taps: elements === 0 ? 0 : elements / (groups * outputs * inputs) };
}

function sizePerGroup({ groups }: WeightRole, dims: readonly number[], axis: number): number {
  return (dims[axis] ?? 0) / (axis === 0 ? groups : 1);
}

/** Converts the row-major elements of a tensor with dimensions `dims` to one matrix (outputs × features) per group. */
export function weightMatrices(
  role: WeightRole,
  dims: readonly number[],
  values: ArrayLike<number>,
): readonly Matrix[] {
  const { groups, outputs, inputs, taps } = weightShape(role, dims);
  const features = inputs * taps;
  const all = isInOrder(role) ? new Float64Array(values) : new Float64Array(values.length);
  if (!isInOrder(role))
    positionsOf(role, dims).forEach((position, index) => {
      all[position] = values[index] ?? 0;
    });
  const size = outputs * features;
  return Array.from({ length: groups }, (_, group) =>
    matrix(outputs, features, all.subarray(group * size, (group + 1) * size)),
  );
}

/** Converts matrices back to the elements of a row-major tensor. This is the inverse of `weightMatrices`. */
export function weightElements(
  role: WeightRole,
  dims: readonly number[],
  matrices: readonly { readonly data: ArrayLike<number> }[],
): Float64Array {
  const { outputs, inputs, taps } = weightShape(role, dims);
  const size = outputs * inputs * taps;
  if (isInOrder(role)) {
    const all = new Float64Array(elementCount(dims));
    for (const [group, { data }] of matrices.entries()) all.set(data, group * size);
    return all;
  }
  return Float64Array.from(
    positionsOf(role, dims),
    (position) => matrices[Math.floor(position / size)]?.data[position % size] ?? 0,
  );
}

/** Returns whether the elements of a weight are those of its matrices in order, as in Conv. */
const isInOrder = ({ stack, out, outTaps = [], in: input }: WeightRole): boolean =>
  stack === undefined && [out, ...outTaps, input].every((axis, index) => axis === index);

/** Returns the index of each tensor element in the concatenated matrices. */
function positionsOf(role: WeightRole, dims: readonly number[]): Uint32Array {
  const { groups, outputs, inputs, taps } = weightShape(role, dims);
  const size = outputs * inputs * taps;
  const [stackAxes, rowAxes] = [role.stack ?? [], [role.out, ...(role.outTaps ?? [])]];
  const outputAndInputAxes = [...stackAxes, ...rowAxes, role.in];
  const columnAxes = [role.in, ...dims.flatMap((_, axis) => (outputAndInputAxes.includes(axis) ? [] : axis))];
  const steps = new Map<number, number>();
  for (const [axes, span] of [
    [stackAxes, groups * size],
    [rowAxes, size],
    [columnAxes, inputs * taps],
  ] as const) {
    let step = span;
    for (const axis of axes) {
      step /= sizePerGroup(role, dims, axis);
      steps.set(axis, step);
    }
  }
  let positions = new Uint32Array(1);
  dims.forEach((count, axis) => {
    const [sizeInGroup, step] = [sizePerGroup(role, dims, axis), steps.get(axis) ?? 0];
    const next = new Uint32Array(positions.length * count);
    positions.forEach((position, block) => {
      for (let index = 0; index < count; index++)
        next[block * count + index] = position + Math.floor(index / sizeInGroup) * size + (index % sizeInGroup) * step;
    });
    positions = next;
  });
  return positions;
}
