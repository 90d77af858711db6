/** Bytes that are read when they are needed. */
import { encodeToBytes, type Model } from "pith";

export interface Content {
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
}

export const contentOfFile = (file: Blob): Content => ({
  size: file.size,
  read: async (start, end) => new Uint8Array(await file.slice(start, end).arrayBuffer()),
});

export const contentOfBytes = (bytes: Uint8Array): Content => ({
  size: bytes.length,
  read: async (start, end) => bytes.subarray(start, end),
});

/** Share of a model's bytes above which its stored weights stand for all of it. */
const enoughBytes = 0.95;

/**
 * Returns the contents of a model's file. Of a large file, these are the weights where they are stored, because the file would fill the memory.
 * @param bytes of the file.
 * @param maxBytes that are in memory.
 */
export async function contentOfModel(model: Model, bytes: number, maxBytes: number): Promise<Content> {
  const weights = bytes > maxBytes ? storedWeights(model) : undefined;
  return weights !== undefined && weights.size >= enoughBytes * bytes
    ? weights
    : contentOfBytes(await encodeToBytes(model));
}

/** Returns the weights that are in files, one after another. */
function storedWeights({ graph }: Model): Content {
  const tensors = new Set(Array.from(graph.values(), ({ tensor }) => tensor));
  const ranges = [...tensors].flatMap((tensor) => tensor?.stored ?? []);
  return {
    size: ranges.reduce((sum, { start, end }) => sum + end - start, 0),
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      let offset = 0;
      for (const range of ranges) {
        const length = range.end - range.start;
        const [from, to] = [Math.max(start, offset), Math.min(end, offset + length)];
        if (from < to)
          bytes.set(await range.source.read(range.start + from - offset, range.start + to - offset), from - start);
        offset += length;
      }
      return bytes;
    },
  };
}
