/** Plain arrays, nested as deep as a tensor has axes, as tensors. */
import { PithError, someOf } from "../errors.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";

export interface Nested {
  readonly dims: readonly number[];
  /** Row-major. */
  readonly values: readonly (number | string)[];
}

/** Axes of an array: no tensor has more. */
const mostAxes = 32;

/**
 * Dimensions and elements of a number, a text, or of arrays of them.
 * @throws PithError E_DATA if it holds anything else, is nested deeper than 32 arrays, or rows differ.
 */
export function nested(value: unknown, place: string, axes = 0): Nested {
  if (typeof value === "number" || typeof value === "string") return { dims: [], values: [value] };
  if (typeof value === "boolean" || typeof value === "bigint") return { dims: [], values: [Number(value)] };
  if (!isArray(value)) {
    const got = typeof value === "object" && value !== null ? `{${someOf(Object.keys(value))}}` : String(value);
    throw new PithError("E_DATA", `${place}: expected numbers or text, got ${got}.`);
  }
  if (axes === mostAxes) throw new PithError("E_DATA", `${place}: the array is nested deeper than ${mostAxes} arrays.`);
  const parts = Array.from(value, (part) => nested(part, place, axes + 1));
  const inner = parts[0]?.dims ?? [];
  if (parts.some((part) => !sameDims(part.dims, inner)))
    throw new PithError("E_DATA", `${place}: the rows of an array differ in length.`);
  return { dims: [parts.length, ...inner], values: parts.flatMap((part) => part.values) };
}

export function isArray(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Text as strings; numbers as int64 where all are whole, else as float32. @throws PithError E_DATA if there are both. */
export function tensorOf({ dims, values }: Nested, place: string): Dense {
  const texts = values.filter((value) => typeof value === "string");
  if (values.length > 0 && texts.length === values.length) return { type: "string", dims, data: texts };
  if (texts.length > 0) throw new PithError("E_DATA", `${place}: some values are text, some are numbers.`);
  const numbers = values.map(Number);
  if (!numbers.every(Number.isSafeInteger)) return { type: "float32", dims, data: Float32Array.from(numbers) };
  return { type: "int64", dims, data: BigInt64Array.from(numbers, BigInt) };
}
