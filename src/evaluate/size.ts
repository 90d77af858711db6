/** Measures the size of a model on disk and as a web server sends it. */
import { brotliSize, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

const chunk = 2 ** 22;

/** Larger files are sampled in evenly spaced chunks, because brotli takes a second per 20 MB. */
const mostCompressed = 2 ** 26;

/** Level that web servers use on the fly; level 11 takes two seconds per megabyte. */
export const brotliQuality = 5;

export interface Size {
  readonly bytes: number;
  /** At `brotliQuality`; undefined without a compressor (in browsers). */
  readonly brotli: number | undefined;
  readonly sampled: boolean;
}

/**
 * Returns the size of a file; several (a model and its external data) are added up. Above 64 MiB the brotli size is estimated.
 * @throws PithError E_FILE if one cannot be read.
 */
export async function size(...parts: readonly (string | ByteSource | Uint8Array)[]): Promise<Size> {
  let bytes = 0;
  let brotli: number | undefined = 0;
  let sampled = false;
  for (const part of parts) {
    const source = typeof part === "string" ? await openFile(part) : part;
    const own = source instanceof Uint8Array ? source.length : source.size;
    bytes += own;
    sampled ||= own > mostCompressed;
    const compressed = await compressedSize(source, own);
    brotli = brotli === undefined || compressed === undefined ? undefined : brotli + compressed;
  }
  return { bytes, brotli, sampled };
}

async function compressedSize(source: ByteSource | Uint8Array, bytes: number): Promise<number | undefined> {
  const stretch = Math.max(chunk, Math.ceil((bytes * chunk) / mostCompressed));
  const taken = stretch === chunk ? bytes : Math.ceil(bytes / stretch) * chunk;
  const whole = source instanceof Uint8Array && stretch === chunk;
  try {
    const compressed = await brotliSize(whole ? [source] : chunks(source, stretch), brotliQuality);
    return stretch === chunk ? compressed : Math.round((compressed * bytes) / Math.min(bytes, taken));
  } catch (error) {
    if (error instanceof PithError && error.code === "E_UNSUPPORTED") return undefined;
    throw error;
  }
}

async function* chunks(source: ByteSource | Uint8Array, stretch = chunk): AsyncIterable<Uint8Array> {
  const bytes = source instanceof Uint8Array ? source.length : source.size;
  for (let start = 0; start < bytes; start += stretch) {
    const end = Math.min(bytes, start + chunk);
    yield source instanceof Uint8Array ? source.subarray(start, end) : source.read(start, end);
  }
}
