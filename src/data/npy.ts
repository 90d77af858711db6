/**
 * NumPy's .npy and .npz: a header that is a Python dictionary, then the elements; .npz is a zip of those.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
 */
import { unzipSync } from "fflate";
import { PithError } from "../errors.ts";
import { bytesFor, viewBytes } from "../tensor/dense.ts";
import { dimsText, elementCount, stridesOf } from "../tensor/dims.ts";
import type { DataType, Dense } from "../tensor/types.ts";
import { swapBytes } from "./endian.ts";

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

/**
 * The array in a .npy file, row-major whatever its order there.
 * @throws PithError E_DATA if it is damaged, or its elements are text, objects or records.
 */
export function parseNpy(bytes: Uint8Array, name: string): Dense {
  const magic = String.fromCharCode(...bytes.subarray(1, 6));
  const major = bytes[6];
  if (bytes[0] !== 0x93 || magic !== "NUMPY" || major === undefined || major < 1 || major > 3 || bytes.length < 12) {
    throw new PithError("E_DATA", `${name} is not a .npy file.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerStart = major === 1 ? 10 : 12;
  const start = headerStart + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(headerStart, start));
  const descriptor = /'descr'\s*:\s*'([<>|=])([a-zA-Z]\d+)'/.exec(header);
  const shape = /'shape'\s*:\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const type = types[descriptor?.[2] ?? ""];
  if (type === undefined || shape === undefined || order === undefined) {
    throw new PithError("E_DATA", `${name}: its header ${header.trim()} is not that of an array of numbers.`);
  }
  const dims = shape
    .split(",")
    .filter((dim) => dim.trim() !== "")
    .map(Number);
  const size = bytesFor(type, elementCount(dims));
  if (bytes.length - start !== size) {
    const got = bytes.length - start;
    throw new PithError("E_DATA", `${name}: ${type}${dimsText(dims)} takes ${size} bytes, the file has ${got}.`);
  }
  const width = Number(descriptor?.[2]?.slice(1));
  const part = type === "complex64" || type === "complex128" ? width / 2 : width;
  const elements = bytes.subarray(start);
  const ordered = order === "True" && dims.length > 1 ? rowMajor(elements, dims, width) : elements;
  return viewBytes(type, dims, descriptor?.[1] === ">" ? swapBytes(ordered, part) : ordered);
}

/**
 * The arrays of a .npz file by name, in the order of the file.
 * @throws PithError E_DATA if it is no zip or an array is damaged.
 */
export function parseNpz(bytes: Uint8Array, name: string): Record<string, Dense> {
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(bytes, { filter: (file) => file.name.endsWith(".npy") });
  } catch (cause) {
    throw new PithError("E_DATA", `${name} is not a .npz file: it cannot be unzipped.`, { cause });
  }
  return Object.fromEntries(
    Object.entries(files).map(([file, content]) => {
      const array = file.slice(0, -".npy".length);
      return [array, parseNpy(content, `${name}: ${array}`)];
    }),
  );
}

/** First axis fastest (Fortran's order) to last axis fastest. */
function rowMajor(bytes: Uint8Array, dims: readonly number[], width: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes.length);
  const strides = stridesOf([...dims].reverse()).reverse();
  const count = elementCount(dims);
  const index = new Array<number>(dims.length).fill(0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    result.set(bytes.subarray(from * width, (from + 1) * width), to * width);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      from += strides[axis] ?? 0;
      index[axis] = next;
      if (next < (dims[axis] ?? 0)) break;
      from -= next * (strides[axis] ?? 0);
      index[axis] = 0;
    }
  }
  return result;
}
