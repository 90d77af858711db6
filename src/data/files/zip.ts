/** Opens the files of a zip archive (.npz), decompressed on reading. Source: PKWARE, APPNOTE.TXT 6.3.10, 4.3 and 4.5.3 (zip64). */

import { type ByteSource, dataError, type PithError, viewOf } from "#ir";
import { archiveMemory, unpackGzip } from "./bytes.ts";

const endMark = 0x06054b50;
const end64Mark = 0x06064b50;
const entryMark = 0x02014b50;
const localMark = 0x04034b50;
/** Bytes of the end record. A comment follows it. */
const endLength = 22;
const maxComment = 65535;
/** Bytes of a local file header before the name. */
const localLength = 30;
/** Stands for a larger value, which is then in a zip64 extra field. */
const zip64Marker = 0xffffffff;
const zip64Field = 1;
const storedMethod = 0;
const deflateMethod = 8;

/**
 * Returns the contents of each file by name. A small archive with overlapping files could contain one large file many times.
 * @throws PithError E_DATA if `archive` is not a zip archive, or if two files overlap.
 */
export async function zipEntries(archive: ByteSource): Promise<ReadonlyMap<string, ByteSource>> {
  const { start: directoryStart, end } = await directoryOf(archive);
  const memory = archiveMemory(archive.name);
  const view = viewOf(await archive.read(directoryStart, end));
  const entries = new Map<string, ByteSource>();
  const extents: ByteRange[] = [];
  let entryStart = 0;
  while (entryStart + 46 <= view.byteLength && view.getUint32(entryStart, true) === entryMark) {
    const lengths = [28, 30, 32].map((headerStart) => view.getUint16(entryStart + headerStart, true));
    const [nameLength = 0, extraLength = 0, commentLength = 0] = lengths;
    const extraStart = entryStart + 46 + nameLength;
    const nextStart = extraStart + extraLength + commentLength;
    if (nextStart > view.byteLength) throw archiveError(archive);
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + entryStart + 46, nameLength));
    const extra = new DataView(view.buffer, view.byteOffset + extraStart, extraLength);
    const [size = 0, packedSize = 0, headerStart = 0] = withLargeValues(
      [24, 20, 42].map((field) => view.getUint32(entryStart + field, true)),
      extra,
    );
    const compression = view.getUint16(entryStart + 10, true);
    if (compression === storedMethod && size !== packedSize) throw archiveError(archive);
    extents.push({ name, start: headerStart, end: headerStart + localLength + nameLength + packedSize });
    const contents = openEntry(archive, `${archive.name}: ${name}`, headerStart, packedSize);
    if (compression === storedMethod) entries.set(name, contents);
    else if (compression === deflateMethod)
      entries.set(name, unpackGzip(contents, size, memory, view.getUint32(entryStart + 16, true)));
    else throw dataError(`${archive.name}: ${name} uses an unsupported compression (${compression}).`);
    entryStart = nextStart;
  }
  if (entryStart !== view.byteLength) throw archiveError(archive);
  requireNoOverlap(archive, extents, directoryStart);
  return entries;
}

interface ByteRange {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

function requireNoOverlap(archive: ByteSource, extents: readonly ByteRange[], limit: number): void {
  const sortedExtents = extents.toSorted((a, b) => a.start - b.start);
  for (const [index, { name, end }] of sortedExtents.entries()) {
    const next = sortedExtents[index + 1];
    if (end <= (next?.start ?? limit)) continue;
    const other = next === undefined ? "the directory" : `"${next.name}"`;
    throw dataError(`${archive.name}: "${name}" and ${other} overlap in the zip archive.`, {
      hint: "The file is damaged, or made to fill memory: get it again, or write it with numpy.savez.",
    });
  }
}

async function directoryOf(archive: ByteSource): Promise<{ readonly start: number; readonly end: number }> {
  const tailStart = Math.max(0, archive.size - endLength - maxComment);
  const tail = viewOf(await archive.read(tailStart, archive.size));
  let endRecordStart = tail.byteLength - endLength;
  while (endRecordStart >= 0 && tail.getUint32(endRecordStart, true) !== endMark) endRecordStart--;
  if (endRecordStart < 0) throw archiveError(archive);
  const [length, start] = [tail.getUint32(endRecordStart + 12, true), tail.getUint32(endRecordStart + 16, true)];
  if (length !== zip64Marker && start !== zip64Marker) return checkedRange(archive, start, start + length);
  // In a zip64 archive, a locator precedes the end record.
  if (endRecordStart < 20) throw archiveError(archive);
  const record = checkedRange(
    archive,
    readUint64(tail, endRecordStart - 12),
    readUint64(tail, endRecordStart - 12) + 56,
  );
  const record64 = viewOf(await archive.read(record.start, record.end));
  if (record64.getUint32(0, true) !== end64Mark) throw archiveError(archive);
  const directoryStart = readUint64(record64, 48);
  return checkedRange(archive, directoryStart, directoryStart + readUint64(record64, 40));
}

function checkedRange(
  archive: ByteSource,
  start: number,
  end: number,
): { readonly start: number; readonly end: number } {
  if (end > archive.size) throw archiveError(archive);
  return { start, end };
}

/** Replaces 32-bit values that overflowed by the 64-bit values of the extra field, which has only these, in the same order. */
function withLargeValues(numbers: readonly number[], extra: DataView): readonly number[] {
  if (!numbers.includes(zip64Marker)) return numbers;
  for (let fieldStart = 0; fieldStart + 4 <= extra.byteLength; ) {
    const length = extra.getUint16(fieldStart + 2, true);
    if (extra.getUint16(fieldStart, true) === zip64Field) {
      let next = fieldStart + 4;
      return numbers.map((value) => {
        if (value !== zip64Marker || next + 8 > extra.byteLength) return value;
        next += 8;
        return readUint64(extra, next - 8);
      });
    }
    fieldStart += 4 + length;
  }
  return numbers;
}

/** Reads the length of the file's local header on first access. */
function openEntry(archive: ByteSource, name: string, headerStart: number, size: number): ByteSource {
  let contentStart: Promise<number> | undefined;
  const readContentStart = async (): Promise<number> => {
    const header = viewOf(await archive.read(headerStart, Math.min(archive.size, headerStart + localLength)));
    if (header.byteLength < localLength || header.getUint32(0, true) !== localMark) throw archiveError(archive);
    const start = headerStart + localLength + header.getUint16(26, true) + header.getUint16(28, true);
    return checkedRange(archive, start, start + size).start;
  };
  return {
    name,
    size,
    async read(start, end) {
      contentStart ??= readContentStart();
      const offset = await contentStart;
      return archive.read(offset + start, offset + end);
    },
  };
}

function archiveError({ name, size }: ByteSource): PithError {
  if (size === 0) return dataError(`${name} is empty (0 bytes).`);
  return dataError(`${name} is not a zip archive, as .npz files are, or it is damaged or truncated.`);
}

function readUint64(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}
