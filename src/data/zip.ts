/**
 * The table of contents of a zip file, so that what lies in it uncompressed can be read in ranges.
 * Source: APPNOTE.TXT 6.3.10 (sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16).
 */
import { inflateSync } from "fflate";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

export interface ZipEntry {
  readonly name: string;
  readonly compressed: boolean;
  readonly start: number;
  readonly end: number;
  /** Bytes of the file itself. */
  readonly size: number;
}

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locatorSignature = 0x07064b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;
const overflow32 = 0xffffffff;

/** @throws PithError E_DATA if it is no zip file, is cut off, or holds what is encrypted or compressed in other ways than deflate. */
export async function zipEntries(source: ByteSource): Promise<readonly ZipEntry[]> {
  const broken = (why: string): PithError =>
    new PithError("E_DATA", `${source.name} is not a .npz file: it cannot be unzipped (${why}).`);
  // The end record has 22 bytes and a comment of at most 65,535; the locator of a large file lies 20 bytes before it.
  const tailStart = Math.max(0, source.size - 22 - 65535 - 20);
  const tail = viewOf(await source.read(tailStart, source.size));
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== endSignature) at--;
  if (at < 0) throw broken("its central directory is missing");
  let count = tail.getUint16(at + 10, true);
  let size = tail.getUint32(at + 12, true);
  let start = tail.getUint32(at + 16, true);
  if (at >= 20 && tail.getUint32(at - 20, true) === locatorSignature) {
    const place = Number(tail.getBigUint64(at - 12, true));
    if (place + 56 > source.size) throw broken("its table of contents lies outside the file");
    const record = viewOf(await source.read(place, place + 56));
    if (record.getUint32(0, true) !== end64Signature) throw broken("its table of contents is damaged");
    count = Number(record.getBigUint64(32, true));
    size = Number(record.getBigUint64(40, true));
    start = Number(record.getBigUint64(48, true));
  }
  if (start + size > source.size || count * 46 > size) throw broken("its table of contents lies outside the file");
  const table = viewOf(await source.read(start, start + size));
  const entries: ZipEntry[] = [];
  for (let index = 0, from = 0; index < count; index++) {
    if (from + 46 > table.byteLength || table.getUint32(from, true) !== entrySignature) {
      throw broken("its table of contents is damaged");
    }
    const lengths = [28, 30, 32].map((offset) => table.getUint16(from + offset, true));
    const [nameLength = 0, extraLength = 0, commentLength = 0] = lengths;
    const next = from + 46 + nameLength + extraLength + commentLength;
    if (next > table.byteLength) throw broken("its table of contents is damaged");
    const name = new TextDecoder().decode(new Uint8Array(table.buffer, table.byteOffset + from + 46, nameLength));
    const method = table.getUint16(from + 10, true);
    const encrypted = (table.getUint16(from + 8, true) & 1) === 1;
    if (encrypted || (method !== 0 && method !== 8)) {
      throw new PithError(
        "E_DATA",
        `${source.name}: "${name}" is ${encrypted ? "encrypted" : `compressed by method ${method}`}.`,
      );
    }
    const [unpacked, packed, local] = sizes(table, from, nameLength, extraLength);
    if (local + 30 > source.size) throw broken(`"${name}" lies outside the file`);
    const header = viewOf(await source.read(local, local + 30));
    if (header.getUint32(0, true) !== localSignature) throw broken(`"${name}" is not where it should be`);
    const dataStart = local + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    if (dataStart + packed > source.size) throw broken(`"${name}" is cut off`);
    entries.push({ name, compressed: method === 8, start: dataStart, end: dataStart + packed, size: unpacked });
    from = next;
  }
  return entries;
}

/** Unpacked and packed size, and where the local header is; what does not fit 32 bits stands in an extra field, in this order. */
function sizes(table: DataView, from: number, nameLength: number, extraLength: number): [number, number, number] {
  const found: [number, number, number] = [
    table.getUint32(from + 24, true),
    table.getUint32(from + 20, true),
    table.getUint32(from + 42, true),
  ];
  const extraStart = from + 46 + nameLength;
  for (let at = extraStart; at + 4 <= extraStart + extraLength; at += 4 + table.getUint16(at + 2, true)) {
    if (table.getUint16(at, true) !== 1) continue;
    let value = at + 4;
    found.forEach((size, index) => {
      if (size !== overflow32 || value + 8 > extraStart + extraLength) return;
      found[index] = Number(table.getBigUint64(value, true));
      value += 8;
    });
  }
  return found;
}

/** Deflate cannot make more bytes out of one. */
const mostExpansion = 1032;

/** All bytes of an entry, unpacked. @throws PithError E_DATA if they are damaged, or not as many as the table of contents says. */
export async function readEntry(source: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const packed = entry.end - entry.start;
  const possible = entry.compressed ? entry.size <= packed * mostExpansion + 1024 : entry.size === packed;
  if (!possible) {
    throw new PithError("E_DATA", `${source.name}: "${entry.name}" cannot be ${entry.size} bytes out of ${packed}.`);
  }
  const bytes = await source.read(entry.start, entry.end);
  if (!entry.compressed) return bytes;
  try {
    const unpacked = inflateSync(bytes, { out: new Uint8Array(entry.size) });
    if (unpacked.length === entry.size) return unpacked;
  } catch (cause) {
    throw new PithError("E_DATA", `${source.name}: "${entry.name}" is damaged: it cannot be unzipped.`, { cause });
  }
  throw new PithError("E_DATA", `${source.name}: "${entry.name}" is damaged: its size is not the recorded one.`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
