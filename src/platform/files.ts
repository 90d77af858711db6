/** Files as the platforms share them. */
import type { StoredBytes } from "../tensor/types.ts";

/** Bytes in order. A chunk must not change after it was handed over. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The bytes of a file, in order: in hand, or a range of something to copy. */
export type Parts = AsyncIterable<Uint8Array | StoredBytes> | Iterable<Uint8Array | StoredBytes>;

/** A hash of bytes that come one after the other. */
export interface Digest {
  add(bytes: Uint8Array): void;
  end(): Promise<string>;
}

/** A file for what does not fit in memory: gone when it is closed, or with the process. */
export interface ScratchFile {
  /** Writes bytes at the end; answers where they begin. @throws PithError E_FILE where there is no room */
  append(bytes: Uint8Array): Promise<number>;
  /** Fills `bytes` with those from `start` on. @throws PithError E_FILE */
  fill(bytes: Uint8Array, start: number): Promise<void>;
  close(): Promise<void>;
}
