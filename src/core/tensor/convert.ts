/**
 * Converts elements to JavaScript numbers and back. Values are rounded once, half to even, and integers saturate. Saturation preserves the slice end
 * 2^63 - 1, with which ONNX writes "to the end": as a double it is 2^63.
 */
import { dataError, PithError, shapeError } from "../errors.ts";
import { dimsText, elementCount } from "./dims.ts";
import { pack, unpack } from "./packed.ts";
import { roundHalfEven } from "./round.ts";
import { decodeFloats, encodeFloats, isSmallFloat } from "./small-float.ts";
import { arrayOf, type DataOf, type DataType, type Dense } from "./types.ts";

export type NumericType = Exclude<DataType, "string" | "complex64" | "complex128">;

/** Floating-point types of weights and activations before quantization. */
export type FloatType = "float32" | "float64" | "float16" | "bfloat16";

export function isFloat(type: DataType): type is FloatType {
  return type === "float32" || type === "float64" || isHalf(type);
}

export function isHalf(type: DataType): type is "float16" | "bfloat16" {
  return type === "float16" || type === "bfloat16";
}

/** Returns all elements in float64. The result can be the tensor's own array. @throws PithError E_TYPE_MISMATCH for strings and complex numbers. */
export function toFloat64(dense: Dense): Float64Array {
  return dense.type === "float64" ? dense.data : new Float64Array(numbersOf(dense));
}

/** Returns all elements in float32, perhaps in shared memory. */
export function toFloat32(dense: Dense): Float32Array {
  const numbers = numbersOf(dense);
  return numbers instanceof Float32Array ? numbers : new Float32Array(numbers);
}

/** Returns floats of 16 and 32 bits in float32, other elements in float64. The result must not be changed. */
export function toFloats(dense: Dense): Float32Array | Float64Array {
  return dense.type === "float32" || isHalf(dense.type) ? toFloat32(dense) : toFloat64(dense);
}

/** Returns all elements as an array of numbers. */
export function toNumbers(dense: Dense): number[] {
  return Array.from(numbersOf(dense));
}

/**
 * Converts row-major numbers to a tensor and rounds them to its type. Floats of 8 and 4 bits saturate.
 * @throws PithError E_SHAPE_MISMATCH if the dimensions imply another number of elements; E_DATA if a number is NaN and the type an integer.
 * @example
 * fromNumbers("int8", [3], [0.5, 1.5, 300]).data; // Int8Array [0, 2, 127]
 */
export function fromNumbers<T extends Exclude<NumericType, "float8e8m0">>(
  type: T,
  dims: readonly number[],
  numbers: ArrayLike<number>,
): Dense<T> {
  const count = elementCount(dims);
  if (numbers.length !== count)
    throw shapeError(`${type}${dimsText(dims)} takes ${count} numbers, got ${numbers.length}.`);
  return { type, dims, data: encodeNumbers(type, numbers) } as Dense<T>;
}

export function scalarOf(type: DataType, value: number): Dense {
  if (type === "string" || type === "complex64" || type === "complex128" || type === "float8e8m0")
    throw new PithError("E_TYPE_MISMATCH", `A constant of type ${type} is not a number.`);
  return fromNumbers(type, [], [value]);
}

export function toInt64(value: number): bigint {
  return saturatedBigInt(value, -(2n ** 63n), 2n ** 63n - 1n);
}

export const integerRange = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int4: [-8, 7],
  uint4: [0, 15],
  int2: [-2, 1],
  uint2: [0, 3],
} as const satisfies Partial<Record<DataType, readonly [number, number]>>;

function numbersOf(dense: Dense): ArrayLike<number> & Iterable<number> {
  switch (dense.type) {
    case "int64":
    case "uint64":
      return Float64Array.from(dense.data, Number);
    case "int4":
    case "uint4":
    case "int2":
    case "uint2":
      return unpack(dense.type, dense.data, elementCount(dense.dims));
    case "float4e2m1":
      return decodeFloats(dense.type, unpack(dense.type, dense.data, elementCount(dense.dims)));
    case "complex64":
    case "complex128":
    case "string":
      throw new PithError(
        "E_TYPE_MISMATCH",
        `A tensor of real numbers is needed, got ${dense.type}${dimsText(dense.dims)}.`,
      );
    default:
      return isSmallFloat(dense.type) ? decodeFloats(dense.type, dense.data) : dense.data;
  }
}

function encodeNumbers(type: Exclude<NumericType, "float8e8m0">, numbers: ArrayLike<number>): DataOf[NumericType] {
  switch (type) {
    case "float32":
      return new Float32Array(numbers);
    case "float64":
      return new Float64Array(numbers);
    case "float4e2m1":
      return pack(type, encodeFloats(type, numbers));
    case "bool":
      return Uint8Array.from(numbers, (value) => (value === 0 ? 0 : 1));
    case "int64":
      return BigInt64Array.from(Array.from(numbers, toInt64));
    case "uint64":
      return BigUint64Array.from(Array.from(numbers, (value) => saturatedBigInt(value, 0n, 2n ** 64n - 1n)));
    case "int4":
    case "int2":
      return pack(type, roundToIntegers(type, new Int8Array(numbers.length), numbers));
    case "uint4":
    case "uint2":
      return pack(type, roundToIntegers(type, new Uint8Array(numbers.length), numbers));
    default:
      if (isSmallFloat(type)) return encodeFloats(type, numbers);
      return roundToIntegers(type, new (arrayOf(type))(numbers.length), numbers);
  }
}

function roundToIntegers<A extends Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array>(
  type: keyof typeof integerRange,
  into: A,
  numbers: ArrayLike<number>,
): A {
  const [low, high] = integerRange[type];
  for (let index = 0; index < into.length; index++) {
    const value = numbers[index] ?? 0;
    if (Number.isNaN(value)) throw nanError(type, index);
    const roundedValue = roundHalfEven(value);
    into[index] = Math.max(low, Math.min(high, roundedValue));
  }
  return into;
}

function saturatedBigInt(value: number, low: bigint, high: bigint): bigint {
  if (Number.isNaN(value)) throw nanError("a 64-bit integer");
  if (value === Number.POSITIVE_INFINITY) return high;
  if (value === Number.NEGATIVE_INFINITY) return low;
  const roundedValue = BigInt(roundHalfEven(value));
  return roundedValue < low ? low : roundedValue > high ? high : roundedValue;
}

function nanError(type: string, index?: number): PithError {
  return dataError(`${index === undefined ? "An element" : `Element ${index}`} is NaN, which ${type} cannot hold.`);
}
