import { axisLayout } from "./axis-layout.ts";
import { bytesFor, bytesOf, viewBytes } from "./dense.ts";
import { elementCount } from "./dims.ts";
import { isPacked, pack, unpack } from "./packed.ts";
import type { Dense } from "./types.ts";

/**
 * Returns a copy of a tensor with only the given indices along an axis, in the given order.
 * @example takeIndices(float32([2, 2], [1, 2, 3, 4]), 1, [1]); // [[2], [4]]
 */
export function takeIndices(dense: Dense, axis: number, indices: readonly number[]): Dense {
  const dims = dense.dims.map((dim, dimAxis) => (dimAxis === axis ? indices.length : dim));
  const { type } = dense;
  const copySelected = <W extends Words>(from: W, to: W): W => {
    const { outer, count: size } = axisLayout(dense.dims, axis);
    const width = indices.length === 0 ? 0 : to.length / outer / indices.length;
    let nextWord = 0;
    for (let block = 0; block < outer; block++) {
      for (const index of indices) {
        const start = (block * size + index) * width;
        if (width < shortRun) for (let word = 0; word < width; word++) to[nextWord + word] = from[start + word] ?? 0;
        else to.set(from.subarray(start, start + width), nextWord);
        nextWord += width;
      }
    }
    return to;
  };
  const count = elementCount(dims);
  if (type === "string") {
    const positions = copySelected(Uint32Array.from(dense.data.keys()), new Uint32Array(count));
    return { type, dims, data: Array.from(positions, (position) => dense.data[position] ?? "") };
  }
  if (isPacked(type)) {
    const codes = unpack(type, new Uint8Array(bytesOf(dense)), elementCount(dense.dims));
    const to = codes instanceof Int8Array ? new Int8Array(count) : new Uint8Array(count);
    return viewBytes(type, dims, pack(type, copySelected<Words>(codes, to)));
  }
  // Copies the widest words of up to 4 bytes that divide an element.
  const bytes = bytesFor(type, 1);
  const Word = bytes % 4 === 0 ? Uint32Array : bytes % 2 === 0 ? Uint16Array : Uint8Array;
  const { buffer, byteOffset, byteLength } = dense.data;
  const from = new Word(buffer as ArrayBuffer, byteOffset, byteLength / Word.BYTES_PER_ELEMENT);
  const to = copySelected<Words>(from, new Word((count * bytes) / Word.BYTES_PER_ELEMENT));
  return viewBytes(type, dims, new Uint8Array(to.buffer));
}

type Words = Uint32Array | Uint16Array | Uint8Array | Int8Array;

/** For fewer words, a loop is faster than `set`. */
const shortRun = 16;
