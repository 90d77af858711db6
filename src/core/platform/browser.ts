/** Implements the exports of `node.ts` for browsers. Functions that need a disk fail with advice. */
import { type ErrorCode, errorMessage, fileError, PithError, stripPeriod, unsupportedError } from "../errors.ts";
import { concatBytes, hexadecimal } from "../tensor/dense.ts";
import type { ByteSource } from "../tensor/types.ts";
import { fileAt, namesIn, pathBeside, sourceAt } from "./browser-files.ts";
import type { Chunks, Compressor, Digest, ScratchFile } from "./files.ts";
import { damagedImageError, imageHeader, type Pixels } from "./image.ts";
import { blobSource, urlBeside, urlSource } from "./sources.ts";
import type { Thread } from "./threads.ts";

export { addFiles } from "./browser-files.ts";
export type { Chunks, Compressor, Digest, Encoding, Parts, ScratchFile } from "./files.ts";
export { imageHeader, type Pixels } from "./image.ts";
export { blobSource, bytesSource, readRanges, urlSource } from "./sources.ts";
export type { Answer, Thread } from "./threads.ts";

/** Opens a Blob, an added file or a URL. @throws PithError E_FILE if the file cannot be fetched. */
export async function openFile(place: string | URL | Blob): Promise<ByteSource> {
  if (place instanceof Blob) return blobSource(place);
  return sourceAt(String(place)) ?? urlSource(absoluteUrl(String(place)));
}

/** @throws PithError E_MODEL if the location leaves the folder of the owner; E_FILE if there is no such file. */
export async function openBeside(owner: string, location: string): Promise<ByteSource> {
  if (fileAt(owner) === undefined) return urlBeside(absoluteUrl(owner), location);
  const path = pathBeside(owner, location);
  const source = sourceAt(path);
  if (source !== undefined) return source;
  throw fileError(`"${owner}" stores weights in "${path}", which was not added.`, {
    hint: "Add both files, or the folder that contains them.",
  });
}

export const pathOf = async (): Promise<string | undefined> => undefined;

const memoryAdvice = "Keep the result in memory.";

const rejectWrite = (path: string, hint: string): Promise<never> =>
  refuse(`"${path}" cannot be written in a browser.`, hint);

const downloadAdvice = "`await encodeToBytes(model)` gives the bytes of a model: offer them as a download.";

export const writeFileAtomically = (path: string): Promise<void> => rejectWrite(path, downloadAdvice);
export const writeFilesAtomically = (files: readonly (readonly [path: string, parts: unknown])[]): Promise<void> =>
  rejectWrite(files.map(([path]) => path).join('", "'), downloadAdvice);
export const renameWhileRead = (_from: string, to: string): Promise<void> => rejectWrite(to, downloadAdvice);
export const appendFile = (path: string): Promise<void> => rejectWrite(path, "Leave the file out.");

// A browser writes no files, so there are no leftovers of killed processes.
export const removeLeftovers = async (): Promise<void> => {};
export const isAbandoned = async (): Promise<boolean> => false;
export const processSuffix = (): string => "";
export const temporaryOf = (): undefined => undefined;

export async function readFile(path: string): Promise<Uint8Array> {
  const source = await openFile(path);
  return source.read(0, source.size);
}

export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readFile(path));
}

export async function listFolder(path: string): Promise<string[]> {
  return (
    namesIn(path) ??
    refuse(`The folder "${path}" cannot be listed in a browser.`, "Add its files with `addFiles`, or pass Blobs.")
  );
}

export async function fileKind(path: string): Promise<"file" | "folder" | "other" | undefined> {
  if (fileAt(path) !== undefined) return "file";
  if (namesIn(path) !== undefined) return "folder";
  // A folder with added files is complete, so other names are not looked up on the network.
  if (namesIn(folderOf(path)) !== undefined) return undefined;
  return (await fetch(absoluteUrl(path), { method: "HEAD" }).catch(() => undefined))?.ok ? "file" : undefined;
}

export const makeFolder = (path: string): Promise<void> =>
  refuse(`The folder "${path}" cannot be made in a browser.`, memoryAdvice);

export const touchFile = async (): Promise<void> => {};
export const trimFolder = async (): Promise<readonly string[]> => [];

export const claimFolder = (folder: string): Promise<() => void> =>
  refuse(`The folder "${folder}" cannot be written in a browser.`, memoryAdvice);

export const temporaryFolder = (): Promise<{ readonly path: string; remove(): Promise<void> }> =>
  refuse("A temporary folder cannot be made in a browser.", memoryAdvice);

export function scratchFile(): Promise<ScratchFile> {
  return refuse(
    "Data that does not fit in memory cannot be stored in a file in a browser.",
    "Use fewer samples, or run it in Node.",
  );
}

export const leavesFolder = async (): Promise<boolean> => false;

export const realPath = async (path: string): Promise<string> => absoluteUrl(path);

export const renameFile = (_from: string, to: string): Promise<void> => rejectWrite(to, memoryAdvice);

/** Returns a digest that hashes all data at the end, because Web Crypto cannot hash in parts. */
export function sha256(): Digest {
  const parts: Uint8Array[] = [];
  return {
    add: (bytes) => void parts.push(bytes.slice()),
    end: async () => hexadecimal(new Uint8Array(await crypto.subtle.digest("SHA-256", concatBytes(parts)))),
  };
}

export const removeFile = (path: string): Promise<void> =>
  refuse(`"${path}" cannot be removed in a browser.`, memoryAdvice);

export const imageExtensions = async (): Promise<readonly string[]> => [".jpg", ".jpeg", ".png", ".webp"];

/** Decodes a JPEG, PNG or WebP file with the browser's decoder, to upright RGB without transparency. @throws PithError E_DATA */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { format } = imageHeader(bytes, name);
  try {
    const blob = new Blob([Uint8Array.from(bytes)], { type: `image/${format.toLowerCase()}` });
    const image = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const { width, height } = image;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (context === null) throw new Error("this browser has no canvas to read pixels with");
    context.drawImage(image, 0, 0);
    image.close();
    const rgba = context.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(width * height * 3);
    for (let pixel = 0; pixel < width * height; pixel++) data.set(rgba.subarray(4 * pixel, 4 * pixel + 3), 3 * pixel);
    return { width, height, data };
  } catch (cause) {
    throw damagedImageError(format, name, cause);
  }
}

export function joinPath(...parts: readonly string[]): string {
  return parts
    .filter((part) => part !== "")
    .join("/")
    .replace(/(?<!:)\/{2,}/g, "/");
}

export function folderOf(path: string): string {
  const slashIndex = path.lastIndexOf("/");
  return slashIndex < 0 ? "." : slashIndex === 0 ? "/" : path.slice(0, slashIndex);
}

export function fileNameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function extensionOf(path: string): string {
  return /.(\.[^.]*)$/.exec(fileNameOf(path))?.[1]?.toLowerCase() ?? "";
}

export async function importModule(path: string, code: ErrorCode): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(absoluteUrl(path))) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw new PithError(code, `${path} cannot be imported: ${stripPeriod(errorMessage(cause))}.`, { cause });
  }
}

export function packageVersion(): undefined {}

/** Returns 1 if the page is not cross-origin isolated, because its threads cannot share memory. */
export function threadCount(): number {
  return globalThis.crossOriginIsolated === true ? navigator.hardwareConcurrency : 1;
}

export const processorTime = (): number | undefined => undefined;

/** Returns undefined, because only the bundler knows the URLs of a page's modules. */
export const startThread = (): Thread | undefined => undefined;

/** Returns an assumed 4 GiB, because browsers do not report free memory. */
export const availableMemory = (): number => 4 * 2 ** 30;

/** Returns the maximum bytes of the WebAssembly memory that the runtime uses. */
export const machineMemory = (): number => 2 ** 32;

/** Does nothing, because the WebAssembly runtime has no telemetry. */
export const disableTelemetry = async (): Promise<void> => {};

/** Returns the size after compression with the browser's compressor, whose level is fixed. */
export async function compressedSize(chunks: () => Chunks, encoding: Compressor): Promise<number> {
  let size = 0;
  for await (const part of compressChunks(chunks, encoding)) size += part.length;
  return size;
}

/** Yields the compressed bytes lazily. @throws PithError E_UNSUPPORTED for brotli, which browsers cannot write. */
export async function* compressChunks(chunks: () => Chunks, encoding: Compressor): AsyncIterable<Uint8Array> {
  if (encoding !== "gzip") await refuse("Browsers have no brotli compressor.", "Compress with gzip, or in Node.");
  yield* transformChunks(chunks(), new CompressionStream("gzip"));
}

export const inflateChunks = (packedChunks: Chunks): AsyncIterable<Uint8Array> =>
  transformChunks(packedChunks, new DecompressionStream("gzip"));

async function* transformChunks(
  chunks: Chunks,
  transform: ReadableWritablePair<Uint8Array, BufferSource>,
): AsyncIterable<Uint8Array> {
  const pieces = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  const source = new ReadableStream<BufferSource>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done === true) controller.close();
      else controller.enqueue(Uint8Array.from(value));
    },
  });
  const reader = source.pipeThrough(transform).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function absoluteUrl(path: string): string {
  return URL.canParse(path) ? path : new URL(path, globalThis.location.href).href;
}

function refuse(sentence: string, hint: string): Promise<never> {
  return Promise.reject(unsupportedError(sentence, { hint }));
}
