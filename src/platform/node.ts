/** Files and machine, in Node. `browser.ts` exports the same names; package.json chooses ("#platform"). */
import { createHash } from "node:crypto";
import { appendFile as append, mkdir, readdir, readFile as readWhole, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import type { Digest } from "./files.ts";
import { failure } from "./node-failure.ts";

export type { Chunks, Digest, Parts, ScratchFile } from "./files.ts";
export { imageHeader, type Pixels } from "./image.ts";
export { touchFile, trimFolder } from "./node-bounded.ts";
export { claimFolder } from "./node-claim.ts";
export { brotliSize, inflated } from "./node-compress.ts";
export { decodeImage, imageExtensions } from "./node-image.ts";
export { isLeftBehind, ownedEnding, removeLeftovers, temporaryOf } from "./node-leftovers.ts";
export { importModule } from "./node-modules.ts";
export { scratchFile } from "./node-scratch.ts";
export { leavesFolder, openBeside, openFile, pathOf, readRanges } from "./node-source.ts";
export { disableTelemetry } from "./node-telemetry.ts";
export { realPath, temporaryFolder } from "./node-temporary.ts";
export { startThread } from "./node-threads.ts";
export { renameWhileRead, writeFileAtomically, writeFilesAtomically } from "./node-write.ts";
export { blobSource, bytesSource, urlSource } from "./sources.ts";
export type { Answer, Thread } from "./threads.ts";

export async function readFile(path: string): Promise<Uint8Array> {
  try {
    return await readWhole(path);
  } catch (cause) {
    throw failure(`"${path}" cannot be read`, cause);
  }
}

export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readFile(path));
}

/** @throws PithError E_FILE */
export async function appendFile(path: string, data: string | Uint8Array): Promise<void> {
  await append(path, data).catch((cause) => {
    throw failure(`"${path}" cannot be written`, cause);
  });
}

/** The names in a folder, sorted. @throws PithError E_FILE */
export async function listFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    throw failure(`The folder "${path}" cannot be read`, cause);
  }
}

/** What lies at a path, links followed; undefined if nothing does. */
export async function fileKind(path: string): Promise<"file" | "folder" | "other" | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
  } catch {
    return undefined;
  }
}

/** Makes a folder and those above it; one that exists is fine. @throws PithError E_FILE */
export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path);
  // One by one: where a file system denies that a folder can be there ("/proc/a"), Node's own recursion goes round forever.
  if ((await fileKind(folder)) === "folder") return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await mkdir(folder).catch(async (cause) => {
    if ((await fileKind(folder)) === "folder") return;
    throw failure(`The folder "${path}" cannot be made`, cause);
  });
}

/** @throws PithError E_FILE */
export async function renameFile(from: string, to: string): Promise<void> {
  await rename(from, to).catch((cause) => {
    throw failure(`"${to}" cannot be written`, cause);
  });
}

/** SHA-256 of bytes that come one after the other, in hexadecimal. */
export function sha256(): Digest {
  const hash = createHash("sha256");
  return { add: (bytes) => void hash.update(bytes), end: async () => hash.digest("hex") };
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch((cause) => {
    throw failure(`"${path}" cannot be removed`, cause);
  });
}

export const joinPath = (...parts: readonly string[]): string => join(...parts);

export const folderOf = (path: string): string => dirname(path);

/** The last part of a path. */
export const fileNameOf = (path: string): string => basename(path);

/** ".onnx"; "" if there is none. Lower case. */
export const extensionOf = (path: string): string => extname(path).toLowerCase();

/** Of an installed package; undefined where there is none. */
export function packageVersion(name: string): string | undefined {
  try {
    const { version }: { readonly version?: unknown } = createRequire(import.meta.url)(`${name}/package.json`);
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined;
  }
}

/** How many threads are worth starting. */
export const threadCount = (): number => availableParallelism();

/** Milliseconds that processors have worked for this process so far, in all of its threads. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Bytes of memory that this process may still take, as far as the system and its container say. */
export function availableMemory(): number {
  // Marked experimental, and the only one that knows of containers.
  return process.availableMemory();
}

let memory: number | undefined;

/** Bytes of memory of the machine, or of the container if that is less. */
export function machineMemory(): number {
  // Both are read from files of the system, and this is asked for every value of every model that is loaded.
  memory ??= Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  return memory;
}
