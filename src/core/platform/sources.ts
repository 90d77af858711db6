/** Creates byte sources without Node: from memory, Blobs and HTTP. */
import { fileError, modelError, PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

/** Returns a source of bytes in memory. The bytes are not copied, so they must not change. */
export function bytesSource(bytes: Uint8Array, name = "bytes in memory"): ByteSource {
  return {
    size: bytes.byteLength,
    name,
    read(start, end) {
      checkRange(name, bytes.byteLength, start, end);
      return Promise.resolve(bytes.subarray(start, end));
    },
  };
}

export function blobSource(blob: Blob): ByteSource {
  const name = "name" in blob && typeof blob.name === "string" ? blob.name : "Blob";
  return {
    size: blob.size,
    name,
    async read(start, end) {
      checkRange(name, blob.size, start, end);
      try {
        return new Uint8Array(await blob.slice(start, end).arrayBuffer());
      } catch (cause) {
        // Browsers refuse to read a File that changed on disk after it was chosen.
        const hasChanged = cause instanceof DOMException && cause.name === "NotReadableError";
        throw new PithError(hasChanged ? "E_SOURCE_CHANGED" : "E_FILE", `${name} cannot be read any more.`, { cause });
      }
    },
  };
}

/** Opens a file over HTTP. If the server supports no ranges or states no size, downloads the file now. @throws PithError E_FILE if it cannot be fetched. */
export async function urlSource(url: URL | string): Promise<ByteSource> {
  const name = String(url);
  const probe = await request(name, 0, 1);
  if (probe.status !== 206) return bytesSource(new Uint8Array(await probe.arrayBuffer()), name);
  await probe.body?.cancel();
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(probe.headers.get("content-range") ?? "")?.[1];
  if (total === undefined) {
    // Ranges cannot be read if the total size is not known.
    return bytesSource(new Uint8Array(await (await request(name)).arrayBuffer()), name);
  }
  const size = Number(total);
  const version = versionOf(probe);
  return {
    size,
    name,
    async read(start, end) {
      checkRange(name, size, start, end);
      if (start === end) return new Uint8Array(0);
      const response = await request(name, start, end);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 206 || versionOf(response) !== version || bytes.byteLength !== end - start) {
        throw new PithError("E_SOURCE_CHANGED", `${name} has changed since it was opened.`, {
          hint: "Open the model again.",
        });
      }
      return bytes;
    },
  };
}

/** Opens a file that a model file refers to. @throws PithError E_MODEL if it is outside the model's folder; E_FILE if it cannot be fetched. */
export async function urlBeside(owner: string, location: string): Promise<ByteSource> {
  const folder = new URL(".", owner).href;
  const url = URL.canParse(location)
    ? new URL(location)
    : new URL(location.split("/").map(encodeURIComponent).join("/"), folder);
  if (location === "" || /[\\\0]/.test(location) || !url.href.startsWith(folder))
    throw leavesFolderError(owner, location);
  return urlSource(url);
}

export const leavesFolderError = (owner: string, location: string): PithError =>
  modelError(`"${owner}" refers to "${location}", which leaves its folder.`, {
    hint: "External data must lie in the model's own folder.",
  });

/** The bytes from `start` to `end` (exclusive). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export async function readRanges(source: ByteSource, ranges: readonly ByteRange[]): Promise<Uint8Array> {
  const [singleRange] = ranges;
  if (singleRange !== undefined && ranges.length === 1) return source.read(singleRange.start, singleRange.end);
  const result = new Uint8Array(ranges.reduce((sum, { start, end }) => sum + end - start, 0));
  let offset = 0;
  for (const { start, end } of ranges) {
    result.set(await source.read(start, end), offset);
    offset += end - start;
  }
  return result;
}

/** @throws PithError E_FILE if the range exceeds the source. */
export function checkRange(name: string, size: number, start: number, end: number): void {
  if (!(start >= 0 && start <= end && end <= size))
    throw fileError(`${name}: bytes ${start} to ${end} were asked for, it has ${size}.`);
}

async function request(url: string, start?: number, end?: number): Promise<Response> {
  // Does not use the browser's cache: if a server compresses complete files, the browser could return ranges of the compressed bytes.
  const range: RequestInit =
    start === undefined || end === undefined
      ? {}
      : { headers: { Range: `bytes=${start}-${end - 1}` }, cache: "no-store" };
  let response: Response;
  try {
    response = await fetch(url, range);
  } catch (cause) {
    throw fileError(`${url} cannot be reached.`, { cause });
  }
  if (response.status === 416 && start !== undefined) return request(url);
  if (!response.ok) throw fileError(`${url}: the server answered ${response.status}.`);
  return response;
}

/** Returns the entity tag of a response, or its modification time, to detect changes. */
function versionOf(response: Response): string {
  return response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
}
