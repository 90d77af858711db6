/** Reads the idx format of MNIST (http://yann.lecun.com/exdb/mnist/): two zero bytes, element type, rank, dimensions and elements, all big-endian. */

import type { IndexedDataset, Part } from "#batches";
import { type ByteSource, type Dense, dataError, dimsText, elementCount, viewBytes } from "#ir";
import { archiveMemory, gzipHead, isGzip, swapBytes, unpackGzip } from "./bytes.ts";
import type { Column, FileRows } from "./columns.ts";
import { columnInFile, columnInMemory, datasetOfColumns, maxBytesInMemory, reshapeSamples } from "./columns.ts";
import { classLabels } from "./labels.ts";

const types = new Map([
  [0x08, { type: "uint8", width: 1 }],
  [0x09, { type: "int8", width: 1 }],
  [0x0b, { type: "int16", width: 2 }],
  [0x0c, { type: "int32", width: 4 }],
  [0x0d, { type: "float32", width: 4 }],
  [0x0e, { type: "float64", width: 8 }],
] as const);

function readHeader(bytes: Uint8Array, name: string): FileRows {
  const format = types.get((bytes[2] ?? 0) as 0x08);
  const rank = bytes[3] ?? 0;
  const start = 4 + 4 * rank;
  if (bytes[0] !== 0 || bytes[1] !== 0 || format === undefined || rank === 0 || bytes.length < start) {
    throw dataError(`${name} is not an idx file: it starts with ${hex(bytes.subarray(0, 4))}.`);
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset, start);
  const dims = Array.from({ length: rank }, (_, axis) => header.getUint32(4 + 4 * axis));
  return { ...format, dims, start };
}

function sizeOf({ dims, width }: FileRows): number {
  return elementCount(dims) * width;
}

function requireSize(header: FileRows, size: number, name: string): void {
  const expected = sizeOf(header);
  const actual = size - header.start;
  if (actual === expected) return;
  const array = `${header.type}${dimsText(header.dims)}`;
  throw dataError(`${name}: ${array} takes ${expected} bytes, the file has ${actual}.`);
}

/** @throws PithError E_DATA if the header is invalid, or if the file's length does not match it. */
export function parseIdx(bytes: Uint8Array, name: string): Dense {
  const header = readHeader(bytes, name);
  requireSize(header, bytes.length, name);
  const { type, width, dims, start } = header;
  const data = bytes.subarray(start);
  return viewBytes(type, dims, width === 1 ? data : swapBytes(data, width));
}

/** A header has at most 255 dimensions. */
const maxHeader = 4 + 4 * 255;

/** Rows of a large file are read on demand. @throws PithError as `parseIdx` does. */
export async function idxColumn(source: ByteSource): Promise<Column> {
  const { name } = source;
  const isCompressed = await isGzip(source);
  const head = isCompressed
    ? await gzipHead(source, maxHeader)
    : await source.read(0, Math.min(maxHeader, source.size));
  const header = readHeader(head, name);
  const { type, width, dims, start } = header;
  // gzip does not store the size of large files, but the idx header determines it.
  const bytes = isCompressed ? unpackGzip(source, start + sizeOf(header), archiveMemory(name)) : source;
  requireSize(header, bytes.size, name);
  if (bytes.size <= maxBytesInMemory) return columnInMemory(parseIdx(await bytes.read(0, bytes.size), name));
  return columnInFile(bytes, { start, type, dims, width, bigEndian: width > 1 });
}

/** Matches train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz or emnist-digits-test-images-idx3-ubyte. */
const pattern = /^(.*?)(train|t10k|test)[-_.](images|labels)[-_.]idx[0-9][-_.]ubyte(\.gz)?$/i;

/** Returns undefined for names of other files. */
export function idxFile(
  name: string,
): { readonly family: string; readonly part: Part; readonly holds: "images" | "labels" } | undefined {
  const [match, family = "", part = "", contents = ""] = pattern.exec(name) ?? [];
  if (match === undefined) return undefined;
  const holds = contents.toLowerCase() === "images" ? "images" : "labels";
  return { family, part: part.toLowerCase() === "train" ? "train" : "test", holds };
}

/** Opens a pair of idx files as "image" (uint8, N × 1 × H × W) and "label" (int64). @throws PithError E_DATA if damaged, or if counts differ. */
export async function idx(name: string, images: ByteSource, labels: ByteSource): Promise<IndexedDataset> {
  const image = await idxColumn(images);
  const label = await idxColumn(labels);
  const [count, ...shape] = image.dims;
  if (image.type !== "uint8" || count === undefined || shape.length !== 2) {
    throw dataError(
      `${images.name} should hold uint8 images [N, height, width], got ${image.type}${dimsText(image.dims)}.`,
    );
  }
  const rows: Column["rows"] = async (positions) => classLabels(await label.rows(positions), labels.name);
  return datasetOfColumns(name, {
    image: reshapeSamples(image, [1, ...shape]),
    label: { type: "int64", dims: label.dims, rows },
  });
}

function hex(bytes: Uint8Array): string {
  return bytes.length === 0 ? "nothing" : Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
