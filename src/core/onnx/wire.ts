/**
 * Reads protobuf's wire format. A message is a sequence of fields, each with a tag (number × 8 + wire type) and a payload. Wire types: 0 varint,
 * 1 8 bytes, 2 a length and that number of bytes, 5 4 bytes.
 */
import { PithError } from "#graph";

export type WireType = 0 | 1 | 2 | 5;

/** Reads varints. `low` and `high` are the halves of the last one. */
export class Cursor {
  position: number;
  low = 0;
  high = 0;
  readonly #bytes: Uint8Array;
  readonly #base: number;

  constructor(bytes: Uint8Array, position = 0, base = 0) {
    this.#bytes = bytes;
    this.position = position;
    this.#base = base;
  }

  /** Reads one varint of at most 10 bytes, which must end before `end`. */
  varint(end: number): void {
    this.low = this.high = 0;
    const first = this.position;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= end) throw malformedError(this.#base + first, "a varint runs past the end of its message");
      const byte = this.#bytes[this.position++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) this.low |= bits << shift;
      else if (shift === 28) {
        this.low |= bits << 28;
        this.high = bits >>> 4;
      } else this.high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.low >>>= 0;
        this.high >>>= 0;
        return;
      }
    }
    throw malformedError(this.#base + first, "a varint takes more than 10 bytes");
  }

  /** Inexact beyond 2⁵³, but still larger than any valid length. */
  get unsigned(): number {
    return this.high * 2 ** 32 + this.low;
  }

  /** An int64: a bigint if a number would be inexact. */
  get signed(): number | bigint {
    const value = (this.high | 0) * 2 ** 32 + this.low;
    return Number.isSafeInteger(value) ? value : (BigInt(this.high | 0) << 32n) | BigInt(this.low);
  }

  get bigint(): bigint {
    return (BigInt(this.high | 0) << 32n) | BigInt(this.low);
  }
}

export interface Header {
  readonly number: number;
  readonly wire: WireType;
  readonly start: number;
  readonly end: number;
}

/** A tag has at most 5 bytes (10 if padded), and a length or integer at most 10. */
export const headerLimit = 20;

/** Reads a field header at offset `position` of the file; `bytes` start at offset `base`. @throws PithError E_NOT_ONNX */
export function readHeader(bytes: Uint8Array, base: number, position: number, messageEnd: number): Header {
  const cursor = new Cursor(bytes, position - base, base);
  const limit = messageEnd - base;
  cursor.varint(limit);
  const tag = cursor.unsigned;
  const number = Math.floor(tag / 8);
  const wire = tag % 8;
  if (number < 1 || number >= 2 ** 29) throw malformedError(position, `${number} is not a field number`);
  let start = cursor.position + base;
  let end: number;
  if (wire === 0) {
    cursor.varint(limit);
    end = cursor.position + base;
  } else if (wire === 1) end = start + 8;
  else if (wire === 5) end = start + 4;
  else if (wire === 2) {
    cursor.varint(limit);
    start = cursor.position + base;
    end = start + cursor.unsigned;
  } else throw malformedError(position, `invalid wire type ${wire}`);
  if (end > messageEnd) throw new FieldPastEndError(position, number, end, messageEnd);
  return { number, wire, start, end };
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function decodeText(bytes: Uint8Array): string | undefined {
  // Names are short and ASCII, for which a loop is faster than the decoder.
  if (bytes.byteLength < 64) {
    let text = "";
    let index = 0;
    for (; index < bytes.byteLength; index++) {
      const byte = bytes[index] ?? 0;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (index === bytes.byteLength) return text;
  }
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

const damagedHint = "The file is damaged or cut off, or not an ONNX model: copy or download it again.";

export class FieldPastEndError extends PithError {
  constructor(
    offset: number,
    readonly number: number,
    readonly end: number,
    messageEnd: number,
  ) {
    const sentence = `field ${number} ends at ${end}, past the end of its message at ${messageEnd}`;
    super("E_NOT_ONNX", `at byte ${offset}: ${sentence}.`, { hint: damagedHint });
  }
}

export function malformedError(offset: number, problem: string): PithError {
  return new PithError("E_NOT_ONNX", `at byte ${offset}: ${problem}.`, { hint: damagedHint });
}
