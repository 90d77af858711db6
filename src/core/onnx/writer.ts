/**
 * Writes protobuf messages as pieces of known size (bytes, file ranges, computed blocks), so that weights do not need to be in memory. Fields are
 * written in ascending order, as protobuf's serializers do, with carried fields of the opened file between them.
 */
import type { StoredBytes } from "#graph";
import { type Field, splitFields } from "./fields.ts";

/** A piece of `size` bytes that is computed while it is written. */
export interface ComputedPiece {
  readonly size: number;
  produce(): Promise<Uint8Array>;
  blocks?(): AsyncIterable<Uint8Array>;
}

export type Piece = Uint8Array | StoredBytes | ComputedPiece;

export function sizeOf(piece: Piece): number {
  if (piece instanceof Uint8Array) return piece.byteLength;
  return "produce" in piece ? piece.size : piece.end - piece.start;
}

const utf8 = new TextEncoder();

/** Smaller arrays are copied into one buffer. */
const minPieceBytes = 1024;

/** ASCII characters are their bytes in UTF-8. */
function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}

const sortedFields = (carried: Uint8Array | undefined): readonly Field[] =>
  carried === undefined ? [] : splitFields(carried).sort((a, b) => a.number - b.number);

/** Writers of finished messages, with their buffers. */
const idleWriters: Writer[] = [];

export class Writer {
  #buffer: Uint8Array;
  #length = 0;
  #pieces: Piece[] = [];
  #size = 0;
  #carried: readonly Field[];
  #nextCarried = 0;

  /** @param carried Fields in wire format to write back, unless the caller writes their numbers. @param room The initial buffer size. */
  constructor(carried?: Uint8Array, room = 128) {
    this.#buffer = new Uint8Array(room);
    this.#carried = sortedFields(carried);
  }

  /** Protobuf encodes negative values in 10 bytes. */
  integer(field: number, value: number | bigint): void {
    this.#tag(field, 0);
    this.#varint(value);
  }

  float(field: number, value: number): void {
    this.#tag(field, 5);
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  text(field: number, value: string): void {
    if (value.length > 40 || !isAscii(value)) {
      this.bytes(field, utf8.encode(value));
      return;
    }
    this.#tag(field, 2);
    this.#varint(value.length);
    this.#reserve(value.length);
    for (let index = 0; index < value.length; index++) this.#buffer[this.#length++] = value.charCodeAt(index);
  }

  bytes(field: number, value: Uint8Array): void {
    this.piece(field, value);
  }

  piece(field: number, piece: Piece): void {
    this.#tag(field, 2);
    this.#varint(sizeOf(piece));
    this.#append(piece);
  }

  message(field: number, fill: (writer: Writer) => void, carried?: Uint8Array): void {
    const inner = idleWriters.pop() ?? new Writer();
    inner.#carried = sortedFields(carried);
    fill(inner);
    inner.#carry(Number.POSITIVE_INFINITY);
    this.#tag(field, 2);
    this.#varint(inner.size);
    // A short buffer is copied and serves the next message.
    if (inner.#length >= minPieceBytes) inner.#flush();
    for (const piece of inner.#pieces) this.#append(piece);
    this.#append(inner.#buffer.subarray(0, inner.#length));
    inner.#pieces = [];
    inner.#length = inner.#size = inner.#nextCarried = 0;
    idleWriters.push(inner);
  }

  /** Writes fields unchanged, including tags. */
  field(field: number, piece: Piece): void {
    this.#carry(field);
    this.#append(piece);
  }

  finish(): readonly Piece[] {
    this.#carry(Number.POSITIVE_INFINITY);
    this.#flush();
    return this.#pieces;
  }

  get size(): number {
    return this.#size + this.#length;
  }

  /** Writes the carried fields with a lower number, and drops those with the same number. */
  #carry(field: number): void {
    for (;;) {
      const next = this.#carried[this.#nextCarried];
      if (next === undefined || next.number > field) return;
      this.#nextCarried++;
      if (next.number < field && next.bytes !== undefined) this.#append(next.bytes);
    }
  }

  #tag(field: number, wire: number): void {
    this.#carry(field);
    this.#varint(field * 8 + wire);
  }

  #varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === "number" && value >= 0 && value < 2 ** 31) {
      let remainingBits = value;
      while (remainingBits > 0x7f) {
        this.#buffer[this.#length++] = (remainingBits & 0x7f) | 0x80;
        remainingBits >>>= 7;
      }
      this.#buffer[this.#length++] = remainingBits;
      return;
    }
    let remainingBits = BigInt.asUintN(64, BigInt(value));
    while (remainingBits > 0x7fn) {
      this.#buffer[this.#length++] = Number(remainingBits & 0x7fn) | 0x80;
      remainingBits >>= 7n;
    }
    this.#buffer[this.#length++] = Number(remainingBits);
  }

  #append(piece: Piece): void {
    if (piece instanceof Uint8Array && piece.byteLength < minPieceBytes) {
      this.#reserve(piece.byteLength);
      this.#buffer.set(piece, this.#length);
      this.#length += piece.byteLength;
      return;
    }
    this.#flush();
    this.#pieces.push(piece);
    this.#size += sizeOf(piece);
  }

  #flush(): void {
    if (this.#length === 0) return;
    this.#pieces.push(this.#buffer.subarray(0, this.#length));
    this.#size += this.#length;
    this.#buffer = new Uint8Array(128);
    this.#length = 0;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.byteLength) return;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.byteLength, this.#length + count));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

/** Efficient for disks and small in memory. */
const chunkBytes = 2 ** 20;

/** Yields the bytes of pieces in chunks, which can share memory with pieces and must not be modified. */
export async function* streamChunks(pieces: readonly Piece[]): AsyncGenerator<Uint8Array, void, undefined> {
  let remainingBytes = pieces.reduce((size, piece) => size + sizeOf(piece), 0);
  let buffer = new Uint8Array(Math.min(remainingBytes, chunkBytes));
  let length = 0;
  for await (const part of readPieces(pieces)) {
    const size = sizeOf(part);
    if (length > 0 && length + size > chunkBytes) {
      yield buffer.subarray(0, length);
      buffer = new Uint8Array(Math.min(remainingBytes, chunkBytes));
      length = 0;
    }
    remainingBytes -= size;
    if (size <= chunkBytes) {
      buffer.set(part instanceof Uint8Array ? part : await part.source.read(part.start, part.end), length);
      length += size;
    } else if (part instanceof Uint8Array) yield part;
    else {
      const { source, end } = part;
      for (let { start } = part; start < end; start += chunkBytes)
        yield await source.read(start, Math.min(end, start + chunkBytes));
    }
  }
  if (length > 0) yield buffer.subarray(0, length);
}

/** Yields the pieces, with the bytes of computed ones. File ranges are passed on, because the file writer copies them efficiently. */
export async function* readPieces(pieces: readonly Piece[]): AsyncGenerator<Uint8Array | StoredBytes, void, undefined> {
  for (const piece of pieces) {
    if (piece instanceof Uint8Array || !("produce" in piece)) {
      yield piece;
      continue;
    }
    let size = 0;
    for await (const bytes of piece.blocks?.() ?? [await piece.produce()]) {
      size += bytes.byteLength;
      if (size <= piece.size) yield bytes;
    }
    if (size !== piece.size) throw new Error(`internal: ${size} bytes were produced, ${piece.size} announced`);
  }
}
