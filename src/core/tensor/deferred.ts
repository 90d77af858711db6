/** Tensors whose elements are computed each time they are read, to save memory. */
import { bytesFor, inMemory, viewBytes } from "./dense.ts";
import { elementCount } from "./dims.ts";
import type { DataType, Dense, Tensor } from "./types.ts";

/** Smaller tensors are computed once and kept in memory. */
const minDeferredBytes = 2 ** 20;

/** Returns a tensor that is computed at each read, or once if small. `compute` must not read what may change, such as a graph. */
export async function deferTensor(
  type: Exclude<DataType, "string">,
  dims: readonly number[],
  compute: () => Promise<Dense>,
): Promise<Tensor> {
  const bytes = bytesFor(type, elementCount(dims));
  if (bytes < minDeferredBytes) return inMemory(await compute());
  return { type, dims, bytes, small: undefined, stored: undefined, read: compute };
}

/** Returns a deferred tensor that is computed in blocks, so that a writer needs memory for one block. */
export async function deferTensorInBlocks(
  type: Exclude<DataType, "string">,
  dims: readonly number[],
  blocks: NonNullable<Tensor["blocks"]>,
): Promise<Tensor> {
  const tensor = await deferTensor(type, dims, async () => {
    const bytes = new Uint8Array(bytesFor(type, elementCount(dims)));
    let offset = 0;
    for await (const block of blocks()) {
      bytes.set(block, offset);
      offset += block.byteLength;
    }
    return viewBytes(type, dims, bytes);
  });
  return tensor.bytes < minDeferredBytes ? tensor : { ...tensor, blocks };
}
