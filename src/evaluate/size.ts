/** What a model weighs: its bytes as they lie on the disk, and as a web server sends them. */
import { brotliSize, gzipSize, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

/** Bytes read at a time. */
const chunk = 2 ** 22;

/** As web servers compress while they send; 11, the best, takes a second for each megabyte. */
export const brotliQuality = 5;

export interface Size {
  readonly bytes: number;
  /** After brotli at `brotliQuality`; undefined where there is no compressor (in browsers). */
  readonly brotli: number | undefined;
}

/**
 * The size of a file, given by its path, as a source or as its bytes; several (a model and its external data) are added up.
 * @throws PithError E_FILE if one cannot be read.
 */
export async function size(...parts: readonly (string | ByteSource | Uint8Array)[]): Promise<Size> {
  let bytes = 0;
  let brotli: number | undefined = 0;
  for (const part of parts) {
    const source = typeof part === "string" ? await openFile(part) : part;
    bytes += source instanceof Uint8Array ? source.length : source.size;
    const compressed = await compressedSize(source);
    brotli = brotli === undefined || compressed === undefined ? undefined : brotli + compressed;
  }
  return { bytes, brotli };
}

/**
 * The bytes of files after gzip at level 6, as servers send what they do not send as brotli; several are added up.
 * @throws PithError E_FILE if one cannot be read.
 */
export async function gzippedSize(...parts: readonly (string | ByteSource | Uint8Array)[]): Promise<number> {
  let bytes = 0;
  for (const part of parts) {
    const source = typeof part === "string" ? await openFile(part) : part;
    bytes += await gzipSize(source instanceof Uint8Array ? [source] : chunks(source));
  }
  return bytes;
}

async function compressedSize(source: ByteSource | Uint8Array): Promise<number | undefined> {
  try {
    return await brotliSize(source instanceof Uint8Array ? [source] : chunks(source), brotliQuality);
  } catch (error) {
    if (error instanceof PithError && error.code === "E_UNSUPPORTED") return undefined;
    throw error;
  }
}

async function* chunks(source: ByteSource): AsyncIterable<Uint8Array> {
  for (let start = 0; start < source.size; start += chunk)
    yield source.read(start, Math.min(source.size, start + chunk));
}
