/** Creates tensors in memory, and converts their elements to bytes and back. */
import { modelError } from "../errors.ts";
import { dimsText, elementCount } from "./dims.ts";
import { arrayOf, bitsOf, type DataType, type Dense, type Tensor } from "./types.ts";

/** Opening a model reads tensors of up to this size into memory. */
export const maxSmallBytes = 8192;

/** Elements below 8 bits share bytes. */
export function bytesFor(type: Exclude<DataType, "string">, count: number): number {
  return Math.ceil((count * bitsOf[type]) / 8);
}

export function float32(dims: readonly number[], data: Iterable<number> | Float32Array): Dense<"float32"> {
  return { type: "float32", dims, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

export function int64(dims: readonly number[], data: Iterable<number | bigint>): Dense<"int64"> {
  return { type: "int64", dims, data: BigInt64Array.from([...data].map((value) => BigInt(value))) };
}

export function zeros(type: Exclude<DataType, "string">, dims: readonly number[]): Dense {
  return viewBytes(type, dims, new Uint8Array(bytesFor(type, elementCount(dims))));
}

/** Shares memory with little-endian bytes if they are aligned. @throws PithError E_MODEL if their number does not match the dimensions. */
export function viewBytes(type: Exclude<DataType, "string">, dims: readonly number[], bytes: Uint8Array): Dense {
  const expectedBytes = bytesFor(type, elementCount(dims));
  if (bytes.byteLength !== expectedBytes)
    throw modelError(`${type}${dimsText(dims)} takes ${expectedBytes} bytes, got ${bytes.byteLength}.`);
  const array = arrayOf(type);
  const width = array.BYTES_PER_ELEMENT;
  const unwrappedBytes = unwrapBuffer(bytes);
  const alignedBytes = unwrappedBytes.byteOffset % width === 0 ? unwrappedBytes : unwrappedBytes.slice();
  const data = new array(alignedBytes.buffer as ArrayBuffer, alignedBytes.byteOffset, alignedBytes.byteLength / width);
  return { type, dims, data } as Dense;
}

/** Returns a plain Uint8Array over a Node Buffer, whose `slice` does not copy. */
export function unwrapBuffer(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function joinArrays<A extends { set(part: ArrayLike<number>, at: number): void }>(
  array: new (length: number) => A,
  parts: readonly ArrayLike<number>[],
): A {
  const joinedArray = new array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    joinedArray.set(part, offset);
    offset += part.length;
  }
  return joinedArray;
}

export const concatBytes = (parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => joinArrays(Uint8Array, parts);

export function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function bytesOfText(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Returns the elements as little-endian bytes in shared memory. */
export function bytesOf(dense: Exclude<Dense, Dense<"string">>): Uint8Array {
  return new Uint8Array(dense.data.buffer, dense.data.byteOffset, dense.data.byteLength);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function isDense(value: unknown): value is Dense {
  return typeof value === "object" && value !== null && "type" in value && "dims" in value && "data" in value;
}

/** Returns a tensor with elements in memory. The array is not copied and must not change. */
export function inMemory(dense: Dense): Tensor {
  const bytes =
    dense.type === "string"
      ? dense.data.reduce((sum, text) => sum + bytesOfText(text).length, 0)
      : dense.data.byteLength;
  return {
    type: dense.type,
    dims: dense.dims,
    bytes,
    small: bytes <= maxSmallBytes ? dense : undefined,
    stored: undefined,
    read: () => Promise.resolve(dense),
  };
}
