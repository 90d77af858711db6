/** The fields of a protobuf message: found first, read on demand. */
import { PithError } from "../errors.ts";
import { concatenated } from "../tensor/dense.ts";
import { Cursor, decodeText, type Header, malformed, readHeader, type WireType } from "./wire.ts";

/**
 * A field as found in a message, offsets counted from the start of the file. Numbers written one by one (wire types 0, 1, 5) that follow
 * each other under the same number are one field: a run of tags and payloads.
 */
export interface Field {
  readonly number: number;
  readonly wire: WireType;
  /** Where the (first) tag begins. */
  readonly from: number;
  /** Where the (first) payload begins. */
  readonly start: number;
  readonly end: number;
  /** The bytes between `from` and `end`, where they are in memory. */
  readonly whole: Uint8Array | undefined;
}

/** Fields of one message: each costs far more memory than its bytes in the file, and no model has nearly so many. */
const fieldLimit = 2 ** 21;

/** A field in memory. Views are made when they are asked for: most fields are only looked at. */
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

  get whole(): Uint8Array {
    return this.#bytes.subarray(this.from - this.#base, this.end - this.#base);
  }

  get payload(): Uint8Array {
    return this.#bytes.subarray(this.start - this.#base, this.end - this.#base);
  }
}

/** Bytes of the file that are in memory; `base` is the offset of the first. */
export interface Held {
  readonly bytes: Uint8Array;
  readonly base: number;
}

/** Collects the fields of a message, joining runs of numbers. */
export class FieldList {
  readonly #fields: Field[] = [];
  readonly #held: (from: number, end: number) => Held | undefined;
  #header: Header | undefined;
  #from = 0;
  #end = 0;

  /** `held` finds the memory that has the bytes of a field, if any has. */
  constructor(held: (from: number, end: number) => Held | undefined) {
    this.#held = held;
  }

  add(from: number, header: Header): void {
    const last = this.#header;
    if (last !== undefined && last.number === header.number && last.wire === header.wire && header.wire !== 2) {
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
    if (this.#fields.length >= fieldLimit) {
      throw new PithError("E_UNSUPPORTED", `at byte ${this.#from}: a message has more than ${fieldLimit} fields.`);
    }
    const held = this.#held(this.#from, this.#end);
    this.#fields.push(
      held === undefined
        ? { ...header, from: this.#from, end: this.#end, whole: undefined }
        : new FieldInMemory(header, this.#from, this.#end, held.bytes, held.base),
    );
    this.#header = undefined;
    return this.#fields;
  }
}

/**
 * The fields of a message in memory. `base` is the offset of its first byte in the file, for messages.
 * @throws PithError E_NOT_ONNX
 */
export function splitFields(bytes: Uint8Array, base = 0): Field[] {
  const held = { bytes, base };
  const list = new FieldList(() => held);
  const messageEnd = base + bytes.byteLength;
  for (let position = base; position < messageEnd; ) {
    const header = readHeader(bytes, base, position, messageEnd);
    list.add(position, header);
    position = header.end;
  }
  return list.finish();
}

export function isLoaded(field: Field): boolean {
  return field instanceof FieldInMemory || field.whole !== undefined;
}

/** The payload of a field with a length, which must be in memory. */
export function payload(field: Field): Uint8Array {
  if (field instanceof FieldInMemory && field.wire === 2) return field.payload;
  return inMemory(field, 2).subarray(field.start - field.from);
}

export function lastVarint(field: Field): number | bigint {
  let last: number | bigint = 0;
  eachVarint(field, (cursor) => {
    last = cursor.signed;
  });
  return last;
}

/** All numbers of a varint field: packed, or one by one. */
export function eachVarint(field: Field, visit: (cursor: Cursor) => void): void {
  const packed = field.wire === 2;
  const bytes = inMemory(field, packed ? 2 : 0);
  const cursor = new Cursor(bytes, packed ? field.start - field.from : 0, field.from);
  while (cursor.position < bytes.byteLength) {
    if (!packed) cursor.varint(bytes.byteLength);
    cursor.varint(bytes.byteLength);
    visit(cursor);
  }
}

/** The payload bytes of a field of 4-byte (5) or 8-byte (1) numbers: packed, or one by one with the tags taken out. */
export function fixedBytes(field: Field, wire: 1 | 5): Uint8Array {
  const width = wire === 1 ? 8 : 4;
  if (field.wire === 2) {
    const bytes = payload(field);
    if (bytes.byteLength % width !== 0)
      throw malformed(field.start, `${bytes.byteLength} bytes are not a whole number of ${width}-byte values`);
    return bytes;
  }
  const bytes = inMemory(field, wire);
  const cursor = new Cursor(bytes, 0, field.from);
  const joined = new Uint8Array(bytes.byteLength);
  let length = 0;
  while (cursor.position < bytes.byteLength) {
    cursor.varint(bytes.byteLength);
    joined.set(bytes.subarray(cursor.position, cursor.position + width), length);
    cursor.position += width;
    length += width;
  }
  return joined.subarray(0, length);
}

/** The text of a field. @throws PithError E_NOT_ONNX if it is not UTF-8. */
export function fieldText(field: Field): string {
  const text = decodeText(payload(field));
  if (text === undefined) throw malformed(field.start, "a text is not UTF-8");
  return text;
}

/** Fields that are carried, as one run of bytes, tags included; undefined if there are none. */
export function joinCarried(fields: readonly Field[]): Uint8Array | undefined {
  return fields.length === 0 ? undefined : concatenated(fields.map(inHand));
}

function inMemory(field: Field, wire: WireType): Uint8Array {
  if (field.wire !== wire) {
    throw malformed(field.from, `field ${field.number} has wire type ${field.wire} where ${wire} is expected`);
  }
  return inHand(field);
}

function inHand({ whole, from, number }: Field): Uint8Array {
  if (whole === undefined) throw malformed(from, `field ${number} is far too long`);
  return whole;
}
