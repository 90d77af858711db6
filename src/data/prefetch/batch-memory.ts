import type { Batch, Dense } from "../../core/tensor/types.ts";

/** Returns a batch with its transferable memory; a view of a larger array is copied. */
export function handedOver(batch: Batch): { readonly batch: Batch; readonly memory: readonly ArrayBuffer[] } {
  const memory = new Set<ArrayBuffer>();
  const columns = Object.entries(batch).map(([name, dense]): [string, Dense] => {
    if (dense.type === "string") return [name, dense];
    const whole = dense.data.byteLength === dense.data.buffer.byteLength;
    const data = whole ? dense.data : dense.data.slice();
    if (data.buffer instanceof ArrayBuffer) memory.add(data.buffer);
    return [name, { ...dense, data } as Dense];
  });
  return { batch: Object.fromEntries(columns), memory: [...memory] };
}

export function bytesOfBatch(batch: Batch): number {
  return Object.values(batch).reduce((sum, { type, data }) => sum + (type === "string" ? 0 : data.byteLength), 0);
}
