/** Accesses files and the machine in Node. `browser.ts` has the same exports; "#platform" in package.json selects one of them. */
import { createHash } from "node:crypto";
import { appendFile as append, mkdir, readdir, readFile as readWhole, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import { unsupportedError } from "../errors.ts";
import type { Digest } from "./files.ts";
import { throwFileError } from "./node-file-errors.ts";

export type { Chunks, Compressor, Digest, Encoding, Parts, ScratchFile } from "./files.ts";
export { imageHeader, type Pixels } from "./image.ts";
export { touchFile, trimFolder } from "./node-cache-folders.ts";
export { claimFolder } from "./node-claim.ts";
export { compressChunks, compressedSize, inflateChunks } from "./node-compress.ts";
export { decodeImage, imageExtensions } from "./node-image.ts";
export { isAbandoned, processSuffix, removeLeftovers, temporaryOf } from "./node-leftovers.ts";
export { importModule } from "./node-modules.ts";
export { scratchFile } from "./node-scratch.ts";
export { leavesFolder, openBeside, openFile, pathOf, readRanges } from "./node-source.ts";
export { disableTelemetry } from "./node-telemetry.ts";
export { realPath, temporaryFolder } from "./node-temporary.ts";
export { startThread } from "./node-threads.ts";
export { renameWhileRead, writeFileAtomically, writeFilesAtomically } from "./node-write.ts";
export { blobSource, bytesSource, urlSource } from "./sources.ts";
export type { Answer, Thread } from "./threads.ts";

export function readFile(path: string): Promise<Uint8Array> {
  return readWhole(path).catch(throwFileError(`"${path}" cannot be read`));
}

export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readFile(path));
}

/** Appends to a file, which is created if missing. @throws PithError E_FILE */
export function appendFile(path: string, data: string | Uint8Array): Promise<void> {
  return append(path, data).catch(throwFileError(`"${path}" cannot be written`));
}

export async function listFolder(path: string): Promise<string[]> {
  return (await readdir(path).catch(throwFileError(`The folder "${path}" cannot be read`))).sort();
}

export async function fileKind(path: string): Promise<"file" | "folder" | "other" | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
  } catch {
    return undefined;
  }
}

export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path);
  // Creates parents one by one, because Node's recursive mkdir never returns on a file system that denies a folder ("/proc/a").
  if ((await fileKind(folder)) === "folder") return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await mkdir(folder).catch(async (cause) => {
    if ((await fileKind(folder)) !== "folder") throwFileError(`The folder "${path}" cannot be made`)(cause);
  });
}

export function renameFile(from: string, to: string): Promise<void> {
  return rename(from, to).catch(throwFileError(`"${to}" cannot be written`));
}

export function sha256(): Digest {
  const hash = createHash("sha256");
  return { add: (bytes) => void hash.update(bytes), end: async () => hash.digest("hex") };
}

export function removeFile(path: string): Promise<void> {
  return rm(path, { force: true }).catch(throwFileError(`"${path}" cannot be removed`));
}

export const joinPath = (...parts: readonly string[]): string => join(...parts);

export const folderOf = (path: string): string => dirname(path);

export const fileNameOf = (path: string): string => basename(path);

/** Returns the extension in lower case, such as ".onnx"; "" if there is none. */
export const extensionOf = (path: string): string => extname(path).toLowerCase();

export function packageVersion(name: string): string | undefined {
  try {
    const { version }: { readonly version?: unknown } = createRequire(import.meta.url)(`${name}/package.json`);
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined;
  }
}

export const threadCount = (): number => availableParallelism();

/** Returns the processor time of this process in milliseconds, summed over all threads. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export function availableMemory(): number {
  // Node calls this function experimental, but it is the only one that respects the memory limits of containers.
  return process.availableMemory();
}

let memory: number | undefined;

/** Returns the memory of the machine in bytes, or the memory limit of the container if that is lower. */
export function machineMemory(): number {
  // The result is cached, because both functions read system files, and callers ask once per value of a loaded model.
  memory ??= Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  return memory;
}

/** Fails, because Node reads files by their paths. */
export function addFiles(_: Iterable<readonly [path: string, file: Blob]>): void {
  throw unsupportedError("Files are added under paths in browsers only.", { hint: "Node reads files by their paths." });
}
