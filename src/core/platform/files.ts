/** Types of file contents that `node.ts` and `browser.ts` share. */
import type { StoredBytes } from "../tensor/types.ts";

/** Bytes in order, as chunks. A chunk must not change after it was passed. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Compression formats, named as in the header Content-Encoding. */
export type Encoding = "gzip" | "br";

/** An encoding, or brotli at a lower quality, which only estimates use. */
export type Compressor = Encoding | "good br" | "quick br";

/** The contents of a file in order: bytes in memory, or ranges of other files that are copied. */
export type Parts = AsyncIterable<Uint8Array | StoredBytes> | Iterable<Uint8Array | StoredBytes>;

export interface Digest {
  add(bytes: Uint8Array): void;
  end(): Promise<string>;
}

/** A temporary file for data that does not fit in memory. */
export interface ScratchFile {
  /** Appends bytes and returns their start offset. @throws PithError E_FILE if the disk is full. */
  append(bytes: Uint8Array): Promise<number>;
  /** Fills `bytes` with data from offset `start` on. @throws PithError E_FILE */
  fill(bytes: Uint8Array, start: number): Promise<void>;
  close(): Promise<void>;
}
