/** Tensors whose elements are computed when they are read: what a pass makes of one weight after the other need not be held all at once. */
import { bytesFor, inMemory, viewBytes } from "./dense.ts";
import { elementCount } from "./dims.ts";
import type { DataType, Dense, Tensor } from "./types.ts";

/** Smaller tensors are computed once and kept: together they take next to no room. */
const leastDeferred = 2 ** 20;

/**
 * Storage whose elements are computed whenever they are read; below `leastDeferred` bytes they are computed at once and kept.
 * @param compute Must always give the same elements: it may read tensors, which never change, but no graph.
 */
export async function deferred(
  type: Exclude<DataType, "string">,
  dims: readonly number[],
  compute: () => Promise<Dense>,
): Promise<Tensor> {
  const bytes = bytesFor(type, elementCount(dims));
  if (bytes < leastDeferred) return inMemory(await compute());
  return { type, dims, bytes, small: undefined, stored: undefined, read: compute };
}

/** The same, computed block after block: who writes them holds one of them. */
export async function deferredInBlocks(
  type: Exclude<DataType, "string">,
  dims: readonly number[],
  blocks: NonNullable<Tensor["blocks"]>,
): Promise<Tensor> {
  const tensor = await deferred(type, dims, async () => {
    const bytes = new Uint8Array(bytesFor(type, elementCount(dims)));
    let at = 0;
    for await (const block of blocks()) {
      bytes.set(block, at);
      at += block.byteLength;
    }
    return viewBytes(type, dims, bytes);
  });
  return tensor.bytes < leastDeferred ? tensor : { ...tensor, blocks };
}
