/** Splits protobuf messages into fields, which are read and parsed on demand. */
import { concatBytes, unsupportedError } from "#graph";
import { Cursor, decodeText, type Header, malformedError, readHeader, type WireType } from "./wire.ts";

/** A field with its offsets in the file. Consecutive unpacked numbers of one field are one: tags and payloads in turn. */
export interface Field {
  readonly number: number;
  readonly wire: WireType;
  /** The first tag. */
  readonly from: number;
  /** The first payload. */
  readonly start: number;
  readonly end: number;
  /** The bytes with tags; undefined if they are not in memory. */
  readonly bytes: Uint8Array | undefined;
}

/** A field needs far more memory than file space, and real models have fewer. */
const fieldLimit = 2 ** 21;

/** Arrays are created on demand, because most fields are never read. */
class FieldInMemory implements Field {
  readonly number: number;
  readonly wire: WireType;
  readonly from: number;
  readonly start: number;
  readonly end: number;
  readonly #bytes: Uint8Array;
  readonly #base: number;

  constructor(header: Header, from: number, end: number, bytes: Uint8Array, base: number) {
    this.number = header.number;
    this.wire = header.wire;
    this.from = from;
    this.start = header.start;
    this.end = end;
    this.#bytes = bytes;
    this.#base = base;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(this.from - this.#base, this.end - this.#base);
  }

  get payload(): Uint8Array {
    return this.#bytes.subarray(this.start - this.#base, this.end - this.#base);
  }
}

/** `base` is the offset of the first byte. */
interface FilePart {
  readonly bytes: Uint8Array;
  readonly base: number;
}

/** Collects the fields of a message. Consecutive numbers of one field become one. */
export class FieldList {
  readonly #fields: Field[] = [];
  readonly #findMemory: (from: number, end: number) => FilePart | undefined;
  #header: Header | undefined;
  #from = 0;
  #end = 0;

  /** @param findMemory Returns the part of the file in memory that contains a field. */
  constructor(findMemory: (from: number, end: number) => FilePart | undefined) {
    this.#findMemory = findMemory;
  }

  add(from: number, header: Header): void {
    const previousHeader = this.#header;
    if (
      previousHeader !== undefined &&
      previousHeader.number === header.number &&
      previousHeader.wire === header.wire &&
      header.wire !== 2
    ) {
      this.#end = header.end;
      return;
    }
    this.finish();
    this.#header = header;
    this.#from = from;
    this.#end = header.end;
  }

  finish(): Field[] {
    const header = this.#header;
    if (header === undefined) return this.#fields;
    if (this.#fields.length >= fieldLimit)
      throw unsupportedError(`at byte ${this.#from}: a message has more than ${fieldLimit} fields.`);
    const memory = this.#findMemory(this.#from, this.#end);
    this.#fields.push(
      memory === undefined
        ? { ...header, from: this.#from, end: this.#end, bytes: undefined }
        : new FieldInMemory(header, this.#from, this.#end, memory.bytes, memory.base),
    );
    this.#header = undefined;
    return this.#fields;
  }
}

/** Returns the fields of a message at offset `base` of the file. @throws PithError E_NOT_ONNX */
export function splitFields(bytes: Uint8Array, base = 0): Field[] {
  const memory = { bytes, base };
  const list = new FieldList(() => memory);
  const messageEnd = base + bytes.byteLength;
  for (let position = base; position < messageEnd; ) {
    const header = readHeader(bytes, base, position, messageEnd);
    list.add(position, header);
    position = header.end;
  }
  return list.finish();
}

export function isLoaded(field: Field): boolean {
  return field instanceof FieldInMemory || field.bytes !== undefined;
}

export const subfieldsOf = (field: Field): Field[] => splitFields(payload(field), field.start);

/** If a field occurs several times, protobuf uses the last. */
export const lastField = (fields: readonly Field[], number: number): Field | undefined =>
  fields.findLast((field) => field.number === number);

export function textOf(fields: readonly Field[], number: number): string {
  const field = lastField(fields, number);
  return field === undefined ? "" : fieldText(field);
}

export function integerOf(fields: readonly Field[], number: number): number {
  const field = lastField(fields, number);
  return field === undefined ? 0 : Number(lastVarint(field));
}

/** Returns the payload of a length-delimited field. */
export function payload(field: Field): Uint8Array {
  if (field instanceof FieldInMemory && field.wire === 2) return field.payload;
  return requireLoaded(field, 2).subarray(field.start - field.from);
}

export function lastVarint(field: Field): number | bigint {
  let lastValue: number | bigint = 0;
  eachVarint(field, (cursor) => {
    lastValue = cursor.signed;
  });
  return lastValue;
}

export function eachVarint(field: Field, visit: (cursor: Cursor) => void): void {
  const isPacked = field.wire === 2;
  const bytes = requireLoaded(field, isPacked ? 2 : 0);
  const cursor = new Cursor(bytes, isPacked ? field.start - field.from : 0, field.from);
  while (cursor.position < bytes.byteLength) {
    if (!isPacked) cursor.varint(bytes.byteLength);
    cursor.varint(bytes.byteLength);
    visit(cursor);
  }
}

/** Returns the values of a field of fixed-width numbers, packed or not. Wire type 1 has 8 bytes per number, 5 has 4 bytes. */
export function fixedBytes(field: Field, wire: 1 | 5): Uint8Array {
  const width = wire === 1 ? 8 : 4;
  if (field.wire === 2) {
    const bytes = payload(field);
    if (bytes.byteLength % width !== 0)
      throw malformedError(field.start, `${bytes.byteLength} bytes are not a whole number of ${width}-byte values`);
    return bytes;
  }
  const bytes = requireLoaded(field, wire);
  const cursor = new Cursor(bytes, 0, field.from);
  const values = new Uint8Array(bytes.byteLength);
  let length = 0;
  while (cursor.position < bytes.byteLength) {
    cursor.varint(bytes.byteLength);
    values.set(bytes.subarray(cursor.position, cursor.position + width), length);
    cursor.position += width;
    length += width;
  }
  return values.subarray(0, length);
}

/** @throws PithError E_NOT_ONNX if the field is not UTF-8. */
export function fieldText(field: Field): string {
  const text = decodeText(payload(field));
  if (text === undefined) throw malformedError(field.start, "a text is not UTF-8");
  return text;
}

/** Joins fields with their tags; undefined without fields. */
export function joinCarried(fields: readonly Field[]): Uint8Array | undefined {
  return fields.length === 0 ? undefined : concatBytes(fields.map(loadedBytes));
}

function requireLoaded(field: Field, wire: WireType): Uint8Array {
  if (field.wire !== wire)
    throw malformedError(field.from, `field ${field.number} has wire type ${field.wire} where ${wire} is expected`);
  return loadedBytes(field);
}

function loadedBytes({ bytes, from, number }: Field): Uint8Array {
  if (bytes === undefined) throw malformedError(from, `field ${number} is far too long`);
  return bytes;
}
