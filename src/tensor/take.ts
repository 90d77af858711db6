/** Picking indices along an axis. */
import { bytesFor, bytesOf, viewBytes } from "./dense.ts";
import { elementCount } from "./dims.ts";
import { isPacked, pack, unpack } from "./packed.ts";
import type { Dense } from "./types.ts";

/**
 * A copy with these indices along an axis, in this order; any element type.
 * @example
 * takeIndices(float32([2, 2], [1, 2, 3, 4]), 1, [1]); // [[2], [4]]
 */
export function takeIndices(dense: Dense, axis: number, indices: readonly number[]): Dense {
  const dims = dense.dims.map((dim, other) => (other === axis ? indices.length : dim));
  const size = dense.dims[axis] ?? 1;
  const inner = elementCount(dense.dims.slice(axis + 1));
  const outer = elementCount(dense.dims.slice(0, axis));
  const runs = (width: number): number[] =>
    Array.from({ length: outer }, (_, block) => indices.map((index) => (block * size + index) * width)).flat();
  if (dense.type === "string") {
    return { type: "string", dims, data: runs(inner).flatMap((start) => dense.data.slice(start, start + inner)) };
  }
  const { type } = dense;
  if (isPacked(type)) {
    const codes = unpack(type, new Uint8Array(bytesOf(dense)), elementCount(dense.dims));
    const picked = runs(inner).flatMap((start) => [...codes.subarray(start, start + inner)]);
    return viewBytes(type, dims, pack(type, picked));
  }
  // Whole bytes per element: runs of bytes are copied, whatever they stand for.
  const width = inner * bytesFor(type, 1);
  const from = bytesOf(dense);
  const to = new Uint8Array(bytesFor(type, elementCount(dims)));
  let next = 0;
  for (const start of runs(width)) {
    to.set(from.subarray(start, start + width), next);
    next += width;
  }
  return viewBytes(type, dims, to);
}
