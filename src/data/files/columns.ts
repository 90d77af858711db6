/** Columns of datasets in array files (.npy, idx, CIFAR): in memory, or as rows of a file that are read on demand. */

import { gatherRows, type IndexedDataset, indexed, sampleCount } from "#batches";
import type { Batch, ByteSource, DataType, Dense } from "#ir";
import { bytesFor, dataError, dimsText, elementCount, viewBytes } from "#ir";
import { bytesSource, readRanges } from "#platform";
import { isGzip, readAll, swapBytes } from "./bytes.ts";

/** One value or tensor per sample. Axis 0 of `dims` counts samples. */
export interface Column {
  readonly type: DataType;
  readonly dims: readonly number[];
  rows(positions: Uint32Array): Dense | Promise<Dense>;
}

/** Maximum bytes of a file that is read into memory. */
export const maxBytesInMemory = 2 ** 25;

/** A batch of larger samples would not fit into memory. */
const maxSampleBytes = 2 ** 30;

/** Returns a file's uncompressed bytes: in memory if it is small or compressed, else read on demand. @throws PithError E_DATA as `readAll` does. */
export async function readIfSmall(file: ByteSource): Promise<ByteSource> {
  if (file.size > maxBytesInMemory && !(await isGzip(file))) return file;
  return bytesSource(await readAll(file), file.name);
}

export function columnInMemory(dense: Dense): Column {
  return { type: dense.type, dims: dense.dims, rows: (positions) => gatherRows(dense, positions) };
}

/** Returns a column whose samples have another shape, such as N × 1 × 28 × 28 instead of N × 28 × 28. */
export function reshapeSamples(column: Column, sampleDims: readonly number[]): Column {
  return {
    type: column.type,
    dims: [column.dims[0] ?? 0, ...sampleDims],
    async rows(positions) {
      const dense = await column.rows(positions);
      return { ...dense, dims: [positions.length, ...sampleDims] } as Dense;
    },
  };
}

/** Fixed-size rows in a file. `width` is the bytes per number: half an element of a complex type. */
export interface FileRows {
  readonly start: number;
  readonly type: Exclude<DataType, "string">;
  readonly dims: readonly number[];
  readonly width: number;
  readonly bigEndian?: boolean;
}

/** Returns a column of fixed-size rows in a file, in row-major order, little-endian by default. */
export function columnInFile(source: ByteSource, { start, type, dims, width, bigEndian = false }: FileRows): Column {
  const sampleDims = dims.slice(1);
  const rowBytes = bytesFor(type, elementCount(sampleDims));
  if (rowBytes > maxSampleBytes)
    throw dataError(
      `${source.name}: a sample ${type}${dimsText(sampleDims)} takes ${rowBytes} bytes: expected at most 1 GiB.`,
    );
  return {
    type,
    dims,
    async rows(positions) {
      const bytes = await readRows(source, start, rowBytes, positions);
      return viewBytes(type, [positions.length, ...sampleDims], bigEndian ? swapBytes(bytes, width) : bytes);
    },
  };
}

/** Reads consecutive rows at once. */
export async function readRows(
  source: ByteSource,
  start: number,
  rowBytes: number,
  positions: Uint32Array,
): Promise<Uint8Array> {
  const ranges: { start: number; end: number }[] = [];
  for (const position of positions) {
    const rowStart = start + position * rowBytes;
    const lastRange = ranges.at(-1);
    if (lastRange?.end === rowStart) lastRange.end += rowBytes;
    else ranges.push({ start: rowStart, end: rowStart + rowBytes });
  }
  return readRanges(source, ranges);
}

/** Maximum number of samples without elements, which a few bytes can declare. */
const maxEmptyRows = 2 ** 20;

/** @throws PithError E_DATA if the columns' numbers of samples differ. */
export function datasetOfColumns(name: string, columns: Readonly<Record<string, Column>>): IndexedDataset {
  const entries = Object.entries(columns);
  // `sampleCount` needs only the dimensions.
  const shapes = entries.map(([key, { dims }]) => [key, { type: "uint8", dims, data: new Uint8Array() }] as const);
  const count = sampleCount(Object.fromEntries(shapes), name);
  const empty = entries.find(([, { dims }]) => count > maxEmptyRows && elementCount(dims) === 0);
  if (empty !== undefined) throw dataError(`${name}: "${empty[0]}" has ${count} samples without elements.`);
  return indexed(name, count, async (positions): Promise<Batch> => {
    const rows = await Promise.all(entries.map(async ([key, column]) => [key, await column.rows(positions)] as const));
    return Object.fromEntries(rows);
  });
}
