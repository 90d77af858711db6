/** Tensors in memory. */
import { PithError } from "../errors.ts";
import { dimsText, elementCount } from "./dims.ts";
import type { DataType, Dense, Tensor } from "./types.ts";

/** Bits of one element as stored; strings have no fixed size. */
export const bitsOf: Readonly<Record<Exclude<DataType, "string">, number>> = {
  float32: 32,
  float64: 64,
  float16: 16,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  float8e8m0: 8,
  float4e2m1: 4,
  int8: 8,
  uint8: 8,
  int16: 16,
  uint16: 16,
  int32: 32,
  uint32: 32,
  int64: 64,
  uint64: 64,
  int4: 4,
  uint4: 4,
  int2: 2,
  uint2: 2,
  bool: 8,
  complex64: 64,
  complex128: 128,
};

/** Tensors up to this size are kept at hand when a file is opened: shapes, axes, scales, small biases. */
export const smallBytes = 8192;

/** Bytes that `count` elements of a type take, packed. */
export function bytesFor(type: Exclude<DataType, "string">, count: number): number {
  return Math.ceil((count * bitsOf[type]) / 8);
}

export function float32(dims: readonly number[], data: Iterable<number> | Float32Array): Dense<"float32"> {
  return { type: "float32", dims, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

export function int64(dims: readonly number[], data: Iterable<number | bigint>): Dense<"int64"> {
  return { type: "int64", dims, data: BigInt64Array.from([...data].map((value) => BigInt(value))) };
}

/** The array that holds `count` elements of a type, zeroed. */
export function zeros(type: Exclude<DataType, "string">, dims: readonly number[]): Dense {
  return viewBytes(type, dims, new Uint8Array(bytesFor(type, elementCount(dims))));
}

/**
 * Little-endian bytes as elements; copies only where the bytes are not aligned for the element.
 * @throws PithError E_MODEL if their number does not fit the dimensions.
 */
export function viewBytes(type: Exclude<DataType, "string">, dims: readonly number[], bytes: Uint8Array): Dense {
  const expected = bytesFor(type, elementCount(dims));
  if (bytes.byteLength !== expected) {
    throw new PithError("E_MODEL", `${type}${dimsText(dims)} takes ${expected} bytes, got ${bytes.byteLength}.`);
  }
  const width = arrays[type].BYTES_PER_ELEMENT;
  const plain = plainBytes(bytes);
  const aligned = plain.byteOffset % width === 0 ? plain : plain.slice();
  const data = new arrays[type](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / width);
  return { type, dims, data } as Dense;
}

/** A plain Uint8Array over the memory of a Node Buffer, whose `slice` does not copy and whose constructor is deprecated. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The elements as little-endian bytes, sharing memory. */
export function bytesOf(dense: Exclude<Dense, Dense<"string">>): Uint8Array {
  return new Uint8Array(dense.data.buffer, dense.data.byteOffset, dense.data.byteLength);
}

/** Storage in memory. The caller gives the array away: it must not change from here on. */
export function inMemory(dense: Dense): Tensor {
  const bytes =
    dense.type === "string"
      ? dense.data.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0)
      : dense.data.byteLength;
  return {
    type: dense.type,
    dims: dense.dims,
    bytes,
    small: bytes <= smallBytes ? dense : undefined,
    stored: undefined,
    read: () => Promise.resolve(dense),
  };
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float8e4m3fn: Uint8Array,
  float8e4m3fnuz: Uint8Array,
  float8e5m2: Uint8Array,
  float8e5m2fnuz: Uint8Array,
  float8e8m0: Uint8Array,
  float4e2m1: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int4: Uint8Array,
  uint4: Uint8Array,
  int2: Uint8Array,
  uint2: Uint8Array,
  bool: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
} as const;
