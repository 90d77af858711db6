import type { StoredBytes } from "../tensor/types.ts";

/** Bytes in order. A chunk must not change after it was passed. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Names as in the header Content-Encoding. */
export type Encoding = "gzip" | "br";

/** The bytes of a file in order: in memory, or a range to copy. */
export type Parts = AsyncIterable<Uint8Array | StoredBytes> | Iterable<Uint8Array | StoredBytes>;

export interface Digest {
  add(bytes: Uint8Array): void;
  end(): Promise<string>;
}

/** A temporary file for data that does not fit in memory; it is removed when closed or when the process ends. */
export interface ScratchFile {
  /** Appends bytes; returns their start. @throws PithError E_FILE if the disk is full */
  append(bytes: Uint8Array): Promise<number>;
  /** Fills `bytes` from `start` on. @throws PithError E_FILE */
  fill(bytes: Uint8Array, start: number): Promise<void>;
  close(): Promise<void>;
}
