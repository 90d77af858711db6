import { bytesSource } from "../src/core/platform/sources.ts";
import type { ByteSource } from "../src/core/tensor/types.ts";

/** A source that counts what is read of it: how often, and how many bytes. */
export function counting(bytes: Uint8Array, name = "counted"): ByteSource & { reads: number; total: number } {
  const inner = bytesSource(bytes, name);
  return {
    reads: 0,
    total: 0,
    size: bytes.byteLength,
    name,
    read(start, end) {
      this.reads++;
      this.total += end - start;
      return inner.read(start, end);
    },
  };
}
