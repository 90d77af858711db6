/** Decodes tensor elements that are stored in typed fields (float_data, int32_data, …) instead of raw bytes. */
import { PithError } from "../errors.ts";
import { bytesFor, concatBytes, viewBytes, zeros } from "../tensor/dense.ts";
import { elementCount } from "../tensor/dims.ts";
import { bitsOf, type DataType, type Dense } from "../tensor/types.ts";
import { eachVarint, type Field, fixedBytes, payload } from "./fields.ts";
import { tensorFields } from "./schema.ts";
import { decodeText } from "./wire.ts";

const { floatData, int32Data, int64Data, doubleData, uint64Data, stringData } = tensorFields;

const fieldsOf: Partial<Readonly<Record<DataType, number>>> = {
  float32: floatData,
  complex64: floatData,
  float64: doubleData,
  complex128: doubleData,
  int64: int64Data,
  uint32: uint64Data,
  uint64: uint64Data,
  string: stringData,
};

/**
 * Returns the number of the typed field for a type. float16 and smaller types are stored as bits in int32_data. Types below 8 bits are stored packed.
 */
export function typedField(type: DataType): number {
  return fieldsOf[type] ?? int32Data;
}

/**
 * Decodes the typed fields of a TensorProto.
 * @param place The tensor's place in error messages.
 * @throws PithError E_MODEL if the number of elements does not match the dimensions.
 */
export function decodeTyped(type: DataType, dims: readonly number[], fields: readonly Field[], place: string): Dense {
  if (type === "string") return { type, dims, data: decodeStrings(dims, fields, place) };
  const number = typedField(type);
  const typedFields = fields.filter((field) => field.number === number);
  if (number === floatData || number === doubleData) {
    const parts = typedFields.map((field) => fixedBytes(field, number === floatData ? 5 : 1));
    const [singlePart] = parts;
    const bytes = parts.length === 1 && singlePart !== undefined ? singlePart : concatBytes(parts);
    checkCount(bytesFor(type, elementCount(dims)), bytes.byteLength, "bytes", place);
    return viewBytes(type, dims, bytes);
  }
  const expected = slotCount(type, dims);
  // Checks the size before memory is allocated, because each number needs at least one byte.
  const available = typedFields.reduce((size, field) => size + field.end - field.start, 0);
  if (expected > available) checkCount(expected, available, "elements at most", place);
  const dense = zeros(type, dims);
  let count = 0;
  for (const field of typedFields)
    eachVarint(field, (cursor) => {
      if (dense.type === "int64" || dense.type === "uint64") dense.data[count++] = cursor.bigint;
      else if (dense.type !== "string") dense.data[count++] = cursor.low;
    });
  checkCount(expected, count, "elements", place);
  return dense;
}

/** Returns the number of integers in the typed field: one per element, or, for types below 8 bits, one per byte of packed elements. */
export function slotCount(type: Exclude<DataType, "string">, dims: readonly number[]): number {
  return bitsOf[type] < 8 ? bytesFor(type, elementCount(dims)) : elementCount(dims);
}

function decodeStrings(dims: readonly number[], fields: readonly Field[], place: string): string[] {
  const typedFields = fields.filter((field) => field.number === stringData);
  checkCount(elementCount(dims), typedFields.length, "strings", place);
  return typedFields.map((field) => {
    const text = decodeText(payload(field));
    if (text === undefined) throw new PithError("E_MODEL", "an element is not UTF-8.", { at: place });
    return text;
  });
}

export function checkCount(expected: number, got: number, what: string, place: string): void {
  if (expected !== got) {
    const sentence = `its dimensions ask for ${expected} ${what.split(" ")[0]}, it has ${got} ${what}.`;
    throw new PithError("E_MODEL", sentence, { at: place });
  }
}
