/** Reads tensors (TensorProto), large ones on demand. File ranges of their data are recorded, so that saving can copy them. */
import type { ByteSource, DataType, Dense, StoredBytes, Tensor } from "#graph";
import {
  bitsOf,
  bytesFor,
  concatBytes,
  dimsText,
  elementCount,
  maxSmallBytes,
  modelError,
  PithError,
  typeOfCode,
  unsupportedError,
  viewBytes,
  zeros,
} from "#graph";
import { type ExternalFiles, readExternal } from "./external.ts";
import { tensorFields as f } from "./field-numbers.ts";
import {
  eachVarint,
  type Field,
  fieldText,
  fixedBytes,
  joinCarried,
  lastVarint,
  payload,
  splitFields,
} from "./fields.ts";
import type { LazyFile } from "./lazy-file.ts";
import { type DataPiece, type Origin, setOrigin } from "./origin.ts";
import { maxRank } from "./value-info.ts";
import { decodeText } from "./wire.ts";

const { floatData, int32Data, stringData, int64Data, rawData, doubleData, uint64Data } = f;
const dataFields = new Set<number>([floatData, int32Data, stringData, int64Data, rawData, doubleData, uint64Data]);

function tensorOf(description: Omit<Tensor, "read">, origin: Origin, place: string): Tensor {
  const tensor = { ...description, read: () => readElements(description, origin, place) };
  setOrigin(tensor, origin);
  return tensor;
}

async function readElements(
  { type, dims, small, stored }: Omit<Tensor, "read">,
  { pieces = [] }: Origin,
  owner: string,
): Promise<Dense> {
  if (small !== undefined) return small;
  if (stored !== undefined && type !== "string")
    return viewBytes(type, dims, await stored.source.read(stored.start, stored.end));
  const fields: Field[] = [];
  let place = owner;
  try {
    for (const { piece } of pieces) {
      const isInMemory = piece instanceof Uint8Array;
      const bytes = isInMemory ? piece : await piece.source.read(piece.start, piece.end);
      if (!isInMemory) place = `"${piece.source.name}", ${owner}`;
      for (const field of splitFields(bytes, isInMemory ? 0 : piece.start)) fields.push(field);
    }
    return decodeTyped(type, dims, fields, place);
  } catch (error) {
    if (!(error instanceof PithError) || error.at === place) throw error;
    throw error.reworded({ at: place });
  }
}

export interface ParsedTensor {
  readonly name: string;
  readonly tensor: Tensor;
  readonly doc: string | undefined;
  readonly metadata: readonly Field[];
  readonly unknown: Uint8Array | undefined;
}

/** Reads a tensor. @throws PithError E_MODEL if dimensions, type and data disagree; E_UNSUPPORTED for an unknown type. */
export async function readTensor(
  file: LazyFile,
  fields: readonly Field[],
  external: ExternalFiles,
  owner: string,
): Promise<ParsedTensor> {
  const dims: number[] = [];
  const data: Field[] = [];
  const externalEntries: Field[] = [];
  const unreadFields: Field[] = [];
  const metadata: Field[] = [];
  const unknown: Field[] = [];
  const otherFields: Field[] = [];
  let code = 0;
  let name = "";
  let docText: string | undefined;
  let isExternal = false;
  for (const field of fields) {
    if (dataFields.has(field.number)) {
      data.push(field);
      continue;
    }
    if (field.number === f.dims) {
      const loadedField = await file.load(field);
      eachVarint(loadedField, (cursor) => {
        if (dims.push(Number(cursor.signed)) > maxRank)
          throw modelError(`${owner}: a tensor has more than ${maxRank} dimensions.`);
      });
    } else if (field.number === f.type) code = Number(lastVarint(field));
    else if (field.number === f.externalData) externalEntries.push(await file.load(field));
    else if (field.number === f.location) {
      isExternal = lastVarint(field) === 1;
      if (!isExternal) unreadFields.push(field);
    } else if (field.number === f.segment) throw unsupportedError(`${owner}: the tensor is split into segments.`);
    else {
      const loadedField = await file.load(field);
      otherFields.push(loadedField);
      if (field.number === f.name) name = fieldText(loadedField);
      else if (field.number === f.doc) docText = fieldText(loadedField);
      else if (field.number === f.metadata) metadata.push(loadedField);
      else unknown.push(loadedField);
    }
  }
  // With inline data, external locations are kept as bytes.
  if (!isExternal) unreadFields.push(...externalEntries);
  otherFields.push(...unreadFields);
  unknown.push(...unreadFields);
  const place = name === "" ? owner : `${owner} "${name}"`;
  const type = requireType(code, place);
  checkDims(dims, place);
  const carried = joinCarried(otherFields);
  const attachments = { name, doc: docText, metadata, unknown: joinCarried(unknown) };
  if (isExternal) {
    if (type === "string") throw modelError(`${place}: strings cannot be stored in another file.`);
    const stored = await readExternal(externalEntries, bytesFor(type, elementCount(dims)), external, place);
    const bytes = stored.end - stored.start;
    const small =
      bytes <= maxSmallBytes ? viewBytes(type, dims, await stored.source.read(stored.start, stored.end)) : undefined;
    return { ...attachments, tensor: tensorOf({ type, dims, bytes, small, stored }, { carried }, place) };
  }
  const { bytes, stored } = locateElements(file, type, dims, data, place);
  const inMemory = bytes <= maxSmallBytes ? await Promise.all(data.map((field) => file.load(field))) : undefined;
  const small = inMemory === undefined ? undefined : decodeElements(type, dims, inMemory, place);
  const pieces =
    inMemory === undefined
      ? rangesOf(file.source, data)
      : inMemory.map(({ number, bytes }) => ({ number, piece: bytes ?? new Uint8Array(0) }));
  return { ...attachments, tensor: tensorOf({ type, dims, bytes, small, stored }, { carried, pieces }, place) };
}

/** Returns the size of the elements, and their file range if it contains them as little-endian bytes. */
function locateElements(
  file: LazyFile,
  type: DataType,
  dims: readonly number[],
  data: readonly Field[],
  place: string,
): { bytes: number; stored: StoredBytes | undefined } {
  if (type === "string")
    return { bytes: data.reduce((size, field) => size + field.end - field.start, 0), stored: undefined };
  const bytes = bytesFor(type, elementCount(dims));
  const raw = data.filter((field) => field.number === rawData);
  const [dataField] = raw.length > 0 ? raw : data;
  if (raw.length > 1 || (raw.length === 1 && data.length > 1))
    throw modelError(`${place}: its elements are given twice.`);
  if (dataField === undefined) {
    if (bytes > 0) checkCount(elementCount(dims), 0, "elements", place);
    return { bytes, stored: undefined };
  }
  const number = typedField(type);
  const isFixedWidth = number === floatData || number === doubleData;
  const isContiguous =
    raw.length === 1 || (isFixedWidth && data.length === 1 && dataField.number === number && dataField.wire === 2);
  if (!isContiguous) {
    const available = data.reduce((size, field) => size + field.end - field.start, 0);
    const min = slotCount(type, dims);
    if (min > available) checkCount(min, available, "elements at most", place);
    return { bytes, stored: undefined };
  }
  if (dataField.wire !== 2 || dataField.end - dataField.start !== bytes) {
    checkCount(bytes, dataField.end - dataField.start, "bytes", `${place}, ${type}${dimsText(dims)}`);
  }
  return { bytes, stored: range(file.source, dataField.start, dataField.end) };
}

function decodeElements(type: DataType, dims: readonly number[], fields: readonly Field[], place: string): Dense {
  const raw = fields.find((field) => field.number === rawData);
  if (raw !== undefined && type === "string") throw modelError(`${place}: strings cannot be raw bytes.`);
  return raw === undefined || type === "string"
    ? decodeTyped(type, dims, fields, place)
    : viewBytes(type, dims, payload(raw));
}

/** Adjacent fields form one range, so that a tensor of many strings is read at once. */
function rangesOf(source: ByteSource, fields: readonly Field[]): DataPiece[] {
  const pieces: { number: number; piece: StoredBytes }[] = [];
  for (const { number, from, end } of fields) {
    const last = pieces.at(-1);
    if (last?.number === number && last.piece.end === from) last.piece = range(source, last.piece.start, end);
    else pieces.push({ number, piece: range(source, from, end) });
  }
  return pieces;
}

function range(source: ByteSource, start: number, end: number): StoredBytes {
  return { source, start, end };
}

function requireType(code: number, place: string): DataType {
  const type = typeOfCode(code);
  if (type !== undefined) return type;
  if (code === 0) throw modelError(`${place}: the tensor has no element type.`);
  throw unsupportedError(`${place}: the element type is number ${code}, which this version does not know.`);
}

function checkDims(dims: readonly number[], place: string): void {
  if (dims.some((dim) => !(dim >= 0)) || !Number.isSafeInteger(16 * elementCount(dims)))
    throw modelError(`${place}: ${dimsText(dims)} are not dimensions of a tensor.`);
}

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

/** float16 and smaller types are bits in int32_data, packed below 8 bits. */
export function typedField(type: DataType): number {
  return fieldsOf[type] ?? int32Data;
}

/** Decodes typed fields. @throws PithError E_MODEL if the number of elements does not match the dimensions. */
function decodeTyped(type: DataType, dims: readonly number[], fields: readonly Field[], place: string): Dense {
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
  const expectedCount = slotCount(type, dims);
  // Before memory is allocated: each number needs at least one byte.
  const available = typedFields.reduce((size, field) => size + field.end - field.start, 0);
  if (expectedCount > available) checkCount(expectedCount, available, "elements at most", place);
  const dense = zeros(type, dims);
  let count = 0;
  for (const field of typedFields)
    eachVarint(field, (cursor) => {
      if (dense.type === "int64" || dense.type === "uint64") dense.data[count++] = cursor.bigint;
      else if (dense.type !== "string") dense.data[count++] = cursor.low;
    });
  checkCount(expectedCount, count, "elements", place);
  return dense;
}

/** Returns the number of integers in the typed field. Packed elements share bytes. */
function slotCount(type: Exclude<DataType, "string">, dims: readonly number[]): number {
  return bitsOf[type] < 8 ? bytesFor(type, elementCount(dims)) : elementCount(dims);
}

function decodeStrings(dims: readonly number[], fields: readonly Field[], place: string): string[] {
  const typedFields = fields.filter((field) => field.number === stringData);
  checkCount(elementCount(dims), typedFields.length, "strings", place);
  return typedFields.map((field) => {
    const text = decodeText(payload(field));
    if (text === undefined) throw modelError("an element is not UTF-8.", { at: place });
    return text;
  });
}

function checkCount(expected: number, got: number, what: string, place: string): void {
  if (expected !== got) {
    const sentence = `its dimensions ask for ${expected} ${what.split(" ")[0]}, it has ${got} ${what}.`;
    throw modelError(sentence, { at: place });
  }
}
