/** Reads, combines and rounds the constants that rules merge. */
import type { DataType, Dense, Value } from "#graph";
import { elementCount, fixedDims, fromNumbers, integerRange, isFloat, Miss, toFloat64 } from "#graph";
import type { Operand } from "../define.ts";
import { broadcast, range } from "../shared/shapes.ts";

/** The relative error of a constant that an exporter rounded to float32. */
const roundingTolerance = 1e-6;

/** Returns whether a constant has one element, equal to `value` up to rounding. */
export function isNear(operand: Operand | undefined, value: number): boolean {
  const element = elementOf(operand);
  return element !== undefined && Math.abs(element - value) <= roundingTolerance * Math.abs(value);
}

/** Returns the element of a constant with at most one axis, which adds no axes to the other operand of a binary operator. */
export function elementOf(operand: Operand | undefined): number | undefined {
  const small = operand?.small;
  if (small === undefined || small.type === "string" || small.data.length !== 1) return undefined;
  if ((operand?.dims?.length ?? 0) > 1) return undefined;
  return toFloat64(small)[0];
}

export interface Numbers {
  readonly dims: readonly number[];
  readonly values: Float64Array;
}

/** Returns the numbers of a stored operand; undefined if it is computed, or too large to be in memory. */
export function numbersOf(operand: Operand | undefined): Numbers | undefined {
  const small = operand?.small;
  if (operand?.stored !== true || small === undefined || small.type === "string") return undefined;
  return { dims: small.dims, values: toFloat64(small) };
}

/** Computes a function element by element, with broadcasting; undefined if the dimensions do not fit. */
export function combineNumbers(a: Numbers, b: Numbers, compute: (a: number, b: number) => number): Numbers | undefined {
  const shape = broadcast(a.dims, b.dims);
  const dims = shape instanceof Miss ? undefined : fixedDims(shape);
  if (dims === undefined) return undefined;
  const positions = [a, b].map((numbers) => broadcastPositions(numbers.dims, dims));
  const values = Float64Array.from({ length: elementCount(dims) }, (_, index) => {
    const [position, otherPosition] = positions.map((of) => of[index] ?? 0);
    return compute(a.values[position ?? 0] ?? 0, b.values[otherPosition ?? 0] ?? 0);
  });
  return { dims, values };
}

/** Returns for each element of the dimensions `out` the index of the element of `dims` that it reads. */
function broadcastPositions(dims: readonly number[], out: readonly number[]): readonly number[] {
  let positions = [0];
  for (const [axis, count] of out.entries()) {
    const size = dims[axis - (out.length - dims.length)] ?? 1;
    positions = positions.flatMap((position) =>
      range(count).map((index) => position * size + (size === 1 ? 0 : index)),
    );
  }
  return positions;
}

/** Returns whether a factor is 0 or 2⁻⁴⁰ to 2⁴⁰ (float16: 2⁻⁶ to 2⁶). */
export function isModerate(factor: number, type: DataType = "float32"): boolean {
  const [size, limit] = [Math.abs(factor), 2 ** (type === "float16" ? 6 : 40)];
  return size === 0 || (size <= limit && size >= 1 / limit);
}

/** Rounds numbers once to a float type, or stores integers; undefined if a number is not finite, outside the range or no integer. */
export function roundNumbers({ dims, values }: Numbers, type: DataType): Dense | undefined {
  if (!isFloat(type) && type !== "int32" && type !== "int64") return undefined;
  const [low, high] = type === "int32" ? integerRange.int32 : [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
  const isInRange = (value: number): boolean =>
    isFloat(type) || (Number.isInteger(value) && value >= low && value <= high);
  if (!values.every((value) => Number.isFinite(value) && isInRange(value))) return undefined;
  const dense = fromNumbers(type, dims, values);
  return toFloat64(dense).every(Number.isFinite) ? dense : undefined;
}

/** Extra elements of new constants: the removed node takes more bytes in the file. */
const maxExtraElements = 8;

/** Returns whether new constants have hardly more elements than the constants that can be removed. */
export function keepsSize(newConstants: readonly Numbers[], oldConstants: readonly (Value | undefined)[]): boolean {
  const count = newConstants.reduce((sum, { values }) => sum + values.length, 0);
  const freedTensors = oldConstants.flatMap((value) =>
    value?.tensor !== undefined && value.uses.size === 1 ? [value.tensor] : [],
  );
  return count <= maxExtraElements + freedTensors.reduce((sum, { dims }) => sum + elementCount(dims), 0);
}
