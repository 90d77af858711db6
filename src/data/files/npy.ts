/** Reads and writes NumPy's .npy and .npz (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). */

import type { Batch, ByteSource, DataType, Dense } from "#ir";
import {
  bytesFor,
  bytesOf,
  bytesOfText,
  dataError,
  dimsText,
  elementCount,
  stridesOf,
  unsupportedError,
  unwrapBuffer,
  viewBytes,
  viewOf,
} from "#ir";
import { swapBytes } from "./bytes.ts";
import { type Column, columnInFile, columnInMemory, type FileRows, maxBytesInMemory } from "./columns.ts";
import { zipEntries } from "./zip.ts";

const types: Readonly<Record<string, Exclude<DataType, "string">>> = {
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  b1: "bool",
  c8: "complex64",
  c16: "complex128",
};

interface NpyHeader extends Required<FileRows> {
  /** Column-major order, in which the first axis is contiguous. */
  readonly isFortran: boolean;
}

/** Longer headers belong to records with many fields, which are not supported. */
const maxHeader = 65536;

/** Maximum bytes of an array in Fortran order, which is read completely. */
const maxReordered = 2 ** 30;

function readHeader(bytes: Uint8Array, size: number, name: string): NpyHeader {
  const magic = String.fromCharCode(...bytes.subarray(1, 6));
  const major = bytes[6];
  if (bytes[0] !== 0x93 || magic !== "NUMPY" || major === undefined || major < 1 || major > 3 || bytes.length < 12) {
    throw dataError(`${name} is not a .npy file.`);
  }
  const view = viewOf(bytes);
  const headerStart = major === 1 ? 10 : 12;
  const start = headerStart + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(headerStart, start));
  const descriptor = /'descr'\s*:\s*'([<>|=])([a-zA-Z]\d+)'/.exec(header);
  const shape = /'shape'\s*:\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const type = types[descriptor?.[2] ?? ""];
  if (type === undefined || shape === undefined || order === undefined) {
    const headerText = header.length > 200 ? `${header.slice(0, 200)}…` : header.trim();
    throw dataError(`${name}: its header ${headerText} is not that of an array of numbers.`);
  }
  const dims = shape
    .split(",")
    .filter((dim) => dim.trim() !== "")
    .map(Number);
  const expectedBytes = bytesFor(type, elementCount(dims));
  if (size - start !== expectedBytes) {
    const got = size - start;
    throw dataError(`${name}: ${type}${dimsText(dims)} takes ${expectedBytes} bytes, the file has ${got}.`);
  }
  return {
    type,
    dims,
    width: bytesFor(type, 1) / (type.startsWith("complex") ? 2 : 1),
    bigEndian: descriptor?.[1] === ">",
    isFortran: order === "True" && dims.length > 1,
    start,
  };
}

/** Parses a .npy file to a row-major tensor. @throws PithError E_DATA if the file is damaged, or if its elements are text, objects or records. */
export function parseNpy(bytes: Uint8Array, name: string): Dense {
  const { type, dims, width, bigEndian, isFortran, start } = readHeader(bytes, bytes.length, name);
  const elements = bytes.subarray(start);
  const rowMajor = isFortran ? toRowMajor(elements, dims, bytesFor(type, 1)) : elements;
  return viewBytes(type, dims, bigEndian ? swapBytes(rowMajor, width) : rowMajor);
}

/** Large files are read on demand, except column-major ones. @throws PithError as `parseNpy` does. */
export function npyColumn(source: ByteSource): Promise<Column> {
  return columnOf(source, source.size <= maxBytesInMemory);
}

async function columnOf(source: ByteSource, inMemory: boolean): Promise<Column> {
  const { name, size } = source;
  // Checks the header before more data is read or decompressed.
  const header = readHeader(await source.read(0, Math.min(maxHeader, size)), size, name);
  const { type, dims, isFortran } = header;
  if (!inMemory && !isFortran) return columnInFile(source, header);
  if (size > maxReordered)
    throw dataError(
      `${name}: ${type}${dimsText(dims)} is stored in column-major order, which is supported up to 1 GiB.`,
      { hint: "Store it row by row: np.ascontiguousarray(array)." },
    );
  return columnInMemory(parseNpy(await source.read(0, size), name));
}

/** Opens a .npz file's arrays as columns; on demand if they are large together. @throws PithError E_DATA if the file is damaged. */
export async function npzColumns(source: ByteSource): Promise<Record<string, Column>> {
  const arrays = await arraysIn(source);
  const totalBytes = arrays.reduce((sum, [, { size }]) => sum + size, 0);
  const columns: Record<string, Column> = {};
  for (const [name, bytes] of arrays) columns[name] = await columnOf(bytes, totalBytes <= maxBytesInMemory);
  return columns;
}

async function arraysIn(source: ByteSource): Promise<readonly (readonly [name: string, npy: ByteSource])[]> {
  const files = [...(await zipEntries(source))];
  return files.flatMap(([file, npy]) => (file.endsWith(".npy") ? [[file.slice(0, -".npy".length), npy] as const] : []));
}

export async function npzBytes(arrays: Batch): Promise<Uint8Array> {
  const { zipSync } = await import("fflate");
  const files = Object.entries(arrays).map(([name, dense]) => [`${name}.npy`, npyBytes(dense)] as const);
  // fflate writes local time, so a fixed local time makes the bytes reproducible.
  return zipSync(Object.fromEntries(files), { level: 0, mtime: new Date(2000, 0, 2) });
}

function npyBytes(dense: Dense): Uint8Array {
  const code = Object.entries(types).find(([, type]) => type === dense.type)?.[0];
  if (code === undefined || dense.type === "string") throw unsupportedError(`NumPy files cannot store ${dense.type}.`);
  const shape = `(${dense.dims.map((dim) => `${dim},`).join(" ")})`;
  const header = `{'descr': '${code.endsWith("1") ? "|" : "<"}${code}', 'fortran_order': False, 'shape': ${shape}, }`;
  // The header is padded so that elements start at a multiple of 64 bytes.
  const length = Math.ceil((10 + header.length + 1) / 64) * 64;
  const start = new Uint8Array(length).fill(0x20);
  start.set([0x93, ...bytesOfText("NUMPY"), 1, 0, (length - 10) & 0xff, (length - 10) >> 8]);
  start.set(bytesOfText(header), 10);
  start[length - 1] = 0x0a;
  const elements = unwrapBuffer(bytesOf(dense));
  const bytes = new Uint8Array(length + elements.length);
  bytes.set(start);
  bytes.set(elements, length);
  return bytes;
}

/** Reorders elements from Fortran order (column-major) to row-major order. */
function toRowMajor(bytes: Uint8Array, dims: readonly number[], elementBytes: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes.length);
  const strides = stridesOf([...dims].reverse()).reverse();
  const count = elementCount(dims);
  const index = new Array<number>(dims.length).fill(0);
  let sourceIndex = 0;
  for (let targetIndex = 0; targetIndex < count; targetIndex++) {
    result.set(
      bytes.subarray(sourceIndex * elementBytes, (sourceIndex + 1) * elementBytes),
      targetIndex * elementBytes,
    );
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      sourceIndex += strides[axis] ?? 0;
      index[axis] = next;
      if (next < (dims[axis] ?? 0)) break;
      sourceIndex -= next * (strides[axis] ?? 0);
      index[axis] = 0;
    }
  }
  return result;
}
