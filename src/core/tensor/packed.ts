/** Packs elements below 8 bits as ONNX does: from the low bits of a byte up. */
import { dataError, shapeError } from "../errors.ts";

export type PackedType = "int4" | "uint4" | "int2" | "uint2" | "float4e2m1";

/** Elements of float4e2m1 are packed as integers, which small-float.ts decodes. */
const layouts = {
  int4: { bits: 4, low: -8, high: 7 },
  uint4: { bits: 4, low: 0, high: 15 },
  float4e2m1: { bits: 4, low: 0, high: 15 },
  int2: { bits: 2, low: -2, high: 1 },
  uint2: { bits: 2, low: 0, high: 3 },
} as const;

export function isPacked(type: string): type is PackedType {
  return Object.hasOwn(layouts, type);
}

/** Unpacks the first `count` elements. @throws PithError E_SHAPE_MISMATCH if there are too few bytes. */
export function unpack(type: PackedType, bytes: Uint8Array, count: number): Int8Array | Uint8Array {
  const { bits, low, high } = layouts[type];
  const elementsPerByte = 8 / bits;
  const shift = Math.log2(elementsPerByte);
  if (bytes.length * elementsPerByte < count) {
    throw shapeError(
      `${count} elements of ${type} take ${Math.ceil(count / elementsPerByte)} bytes, got ${bytes.length}.`,
    );
  }
  const values = low < 0 ? new Int8Array(count) : new Uint8Array(count);
  const mask = (1 << bits) - 1;
  const range = mask + 1;
  for (let index = 0; index < count; index++) {
    const code = ((bytes[index >>> shift] ?? 0) >> ((index & (elementsPerByte - 1)) * bits)) & mask;
    values[index] = code > high ? code - range : code;
  }
  return values;
}

/** Packs integers into bytes. @throws PithError E_DATA if a value is not an integer in the range of the type. */
export function pack(type: PackedType, values: ArrayLike<number>): Uint8Array {
  const { bits, low, high } = layouts[type];
  const perByte = 8 / bits;
  const bytes = new Uint8Array(Math.ceil(values.length / perByte));
  const mask = (1 << bits) - 1;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (!Number.isInteger(value) || value < low || value > high)
      throw dataError(`Element ${index}: ${type} holds integers from ${low} to ${high}, got ${value}.`);
    const byteIndex = Math.floor(index / perByte);
    bytes[byteIndex] = (bytes[byteIndex] ?? 0) | ((value & mask) << ((index % perByte) * bits));
  }
  return bytes;
}
