/**
 * TensorBoard's event files: TFRecords of protobuf messages.
 *
 *     record  = length (8 bytes) · mask(crc32c(length)) · event · mask(crc32c(event))
 *     Event   = 1: wall_time (double), 2: step (int64), 3: file_version (string), 5: Summary
 *     Summary = 1: Value = 1: tag (string), 2: simple_value (float)
 */
import { Cursor, readHeader } from "../../core/onnx/wire.ts";
import { Writer } from "../../core/onnx/writer.ts";

export interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  readonly scalars: Readonly<Record<string, number>>;
}

const [headerBytes, footerBytes, timeBytes] = [12, 4, 9];

export const versionRecord = (wallTime: number): Uint8Array<ArrayBuffer> =>
  recordOf(wallTime, (event) => event.text(3, "brain.Event:2"));

export function scalarRecord({ wallTime, step, scalars }: ScalarEvent): Uint8Array<ArrayBuffer> {
  return recordOf(wallTime, (event) => {
    if (step !== 0) event.integer(2, step);
    event.message(5, (summary) => {
      for (const [tag, value] of Object.entries(scalars))
        summary.message(1, (scalar) => {
          scalar.text(1, tag);
          scalar.float(2, value);
        });
    });
  });
}

function recordOf(wallTime: number, fill: (event: Writer) => void): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  fill(writer);
  const pieces = writer.finish().filter((piece) => piece instanceof Uint8Array);
  const length = timeBytes + pieces.reduce((sum, piece) => sum + piece.length, 0);
  const record = new Uint8Array(headerBytes + length + footerBytes);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  // The tag of field 1 (8 bytes): the model writer does not support doubles.
  view.setUint8(headerBytes, 9);
  view.setFloat64(headerBytes + 1, wallTime, true);
  let position = headerBytes + timeBytes;
  for (const piece of pieces) {
    record.set(piece, position);
    position += piece.length;
  }
  view.setUint32(position, maskedCrc(record.subarray(headerBytes, position)), true);
  return record;
}

/** Returns the complete records before the first one of a later step. @returns undefined if the bytes are not an event file. */
export function recordsUntil(bytes: Uint8Array, lastStep: number): Uint8Array<ArrayBuffer> | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = 0;
  while (end + headerBytes <= bytes.length) {
    if (view.getUint32(end + 8, true) !== maskedCrc(bytes.subarray(end, end + 8))) break;
    const [start, length] = [end + headerBytes, Number(view.getBigUint64(end, true))];
    const next = start + length + footerBytes;
    if (next > bytes.length || stepOf(bytes.subarray(start, start + length)) > lastStep) break;
    end = next;
  }
  return end === 0 ? undefined : bytes.slice(0, end);
}

function stepOf(event: Uint8Array): number {
  for (let position = 0; position < event.length; ) {
    const { number, wire, start, end } = readHeader(event, 0, position, event.length);
    if (number === 2 && wire === 0) {
      const cursor = new Cursor(event, start);
      cursor.varint(end);
      return cursor.unsigned;
    }
    position = end;
  }
  return 0;
}

/** CRC-32C (Castagnoli), rotated and shifted as TFRecord stores it. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
