/** Measures the size of a model on disk and as a web server sends it. */
import { brotliSize, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

const chunk = 2 ** 22;

/** Larger files are sampled in evenly spaced chunks, because brotli takes a second per 20 MB. */
const mostCompressed = 2 ** 26;

/** Level that web servers use on the fly. */
export const brotliQuality = 5;

/** Level at which static files are compressed once. It takes two seconds per megabyte, so it is left out for larger files. */
const [staticQuality, mostStatic] = [11, 2 ** 24];

/** Returns the level for files that are shown side by side. */
export const qualityFor = (bytes: readonly number[]): number =>
  bytes.every((own) => own <= mostStatic) ? staticQuality : brotliQuality;

/** "quality 11, as static files are compressed once" */
export const qualityText = (quality: number): string =>
  quality === staticQuality
    ? `quality ${quality}, as static files are compressed once`
    : `quality ${quality}, as servers compress on the fly; files up to 16 MiB have ${staticQuality}`;

export interface Size {
  readonly bytes: number;
  /** `size` uses `brotliQuality`; undefined without a compressor (in browsers). */
  readonly brotli: number | undefined;
  readonly sampled: boolean;
}

/**
 * Returns the size of a file; several (a model and its external data) are added up. Above 64 MiB the brotli size is estimated.
 * @throws PithError E_FILE if one cannot be read.
 */
export function size(...parts: readonly SizedPart[]): Promise<Size> {
  return sizeAt(brotliQuality, parts);
}

export type SizedPart = string | ByteSource | Uint8Array;

/** Measures files to show side by side, all at the same level. @param files each with its parts. */
export async function shownSizes(
  files: readonly (readonly SizedPart[])[],
  done: (count: number) => void = () => {},
): Promise<{ readonly quality: number; readonly sizes: readonly Size[] }> {
  const bytes = await Promise.all(files.map(bytesOf));
  const quality = qualityFor(bytes);
  const sizes: Size[] = [];
  for (const parts of files) {
    sizes.push(await sizeAt(quality, parts));
    done(sizes.length);
  }
  return { quality, sizes };
}

async function bytesOf(parts: readonly SizedPart[]): Promise<number> {
  const sizes = await Promise.all(
    parts.map(async (part) =>
      part instanceof Uint8Array ? part.length : (typeof part === "string" ? await openFile(part) : part).size,
    ),
  );
  return sizes.reduce((sum, own) => sum + own, 0);
}

export async function sizeAt(quality: number, parts: readonly SizedPart[]): Promise<Size> {
  let bytes = 0;
  let brotli: number | undefined = 0;
  let sampled = false;
  for (const part of parts) {
    const source = typeof part === "string" ? await openFile(part) : part;
    const own = source instanceof Uint8Array ? source.length : source.size;
    bytes += own;
    sampled ||= own > mostCompressed;
    const compressed = await compressedSize(source, own, quality);
    brotli = brotli === undefined || compressed === undefined ? undefined : brotli + compressed;
  }
  return { bytes, brotli, sampled };
}

async function compressedSize(
  source: ByteSource | Uint8Array,
  bytes: number,
  quality: number,
): Promise<number | undefined> {
  const stretch = Math.max(chunk, Math.ceil((bytes * chunk) / mostCompressed));
  const taken = stretch === chunk ? bytes : Math.ceil(bytes / stretch) * chunk;
  const whole = source instanceof Uint8Array && stretch === chunk;
  try {
    const compressed = await brotliSize(whole ? [source] : chunks(source, stretch), quality);
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
