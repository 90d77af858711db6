/** Converts nested arrays, from JSON lines or a user's module, to tensors. */
import { type Dense, dataError, type PithError, sameDims, truncateList } from "#ir";

export interface FlattenedArray {
  readonly dims: readonly number[];
  /** Row-major. */
  readonly values: readonly (number | string)[];
}

const maxAxes = 32;

/** @throws PithError E_DATA for values other than numbers, booleans and text, for more than 32 levels, or if rows differ in length. */
export function flattenArray(value: unknown, location: string): FlattenedArray {
  const dims: number[] = [];
  for (let inner = value; isArray(inner); inner = inner[0]) {
    if (dims.length === maxAxes) throw dataError(`${location}: the array is nested deeper than ${maxAxes} arrays.`);
    dims.push(inner.length);
  }
  const values: (number | string)[] = [];
  const collect = (part: unknown, axis: number): void => {
    if (isArray(part)) {
      if (part.length !== dims[axis]) throw unevenError(location);
      for (let index = 0; index < part.length; index++) collect(part[index], axis + 1);
      return;
    }
    const isValue = typeof part === "number" || typeof part === "string";
    if (!isValue && typeof part !== "boolean" && typeof part !== "bigint") {
      const got = typeof part === "object" && part !== null ? `{${truncateList(Object.keys(part))}}` : String(part);
      throw dataError(`${location}: expected numbers or text, got ${got}.`);
    }
    if (axis !== dims.length) throw unevenError(location);
    values.push(isValue ? part : Number(part));
  };
  collect(value, 0);
  return { dims, values };
}

const unevenError = (location: string): PithError => dataError(`${location}: the rows of an array differ in length.`);

export function isArray(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Returns a tensor of strings, of int64 if all numbers are integers, or of float32. @throws PithError E_DATA if text and numbers are mixed. */
export function tensorOf({ dims, values }: FlattenedArray, location: string): Dense {
  const texts = values.filter((value) => typeof value === "string");
  if (values.length > 0 && texts.length === values.length) return { type: "string", dims, data: texts };
  if (texts.length > 0) throw dataError(`${location}: some values are text, some are numbers.`);
  return numbersOf(dims, Float64Array.from(values, Number));
}

function numbersOf(dims: readonly number[], numbers: Float64Array): Dense {
  if (!numbers.every(Number.isSafeInteger)) return { type: "float32", dims, data: Float32Array.from(numbers) };
  const integers = new BigInt64Array(numbers.length);
  for (let index = 0; index < numbers.length; index++) integers[index] = BigInt(numbers[index] ?? 0);
  return { type: "int64", dims, data: integers };
}

/** Builds a tensor row by row, which saves memory. The first row determines the dimensions. */
export class TensorBuilder {
  #dims: readonly number[] | undefined;
  readonly #texts: string[] = [];
  #numbers = new Float64Array();
  #count = 0;
  #rows = 0;

  /** @throws PithError E_DATA if dimensions differ from those of the first row, or if text and numbers are mixed. */
  add({ dims, values }: FlattenedArray, location: string): void {
    this.#dims ??= dims;
    if (!sameDims(dims, this.#dims))
      throw dataError(`${location}: expected the dimensions [${this.#dims}] of the first line, got [${dims}].`);
    this.#rows++;
    this.#reserve(values.length);
    for (const value of values) {
      if (typeof value === "string") this.#texts.push(value);
      else this.#numbers[this.#count++] = value;
    }
    if (this.#texts.length > 0 && this.#count > 0)
      throw dataError(`${location}: some values are text, some are numbers.`);
  }

  build(): Dense {
    const dims = [this.#rows, ...(this.#dims ?? [])];
    if (this.#texts.length > 0) return { type: "string", dims, data: this.#texts };
    return numbersOf(dims, this.#numbers.subarray(0, this.#count));
  }

  #reserve(more: number): void {
    const neededCount = this.#count + more;
    if (neededCount <= this.#numbers.length) return;
    const largerBuffer = new Float64Array(Math.max(neededCount, Math.ceil(1.5 * this.#numbers.length)));
    largerBuffer.set(this.#numbers.subarray(0, this.#count));
    this.#numbers = largerBuffer;
  }
}
