/** Opens files for reading in ranges. Files that were modified in place are rejected. */
import { readSync } from "node:fs";
import { type FileHandle, lstat, open, readdir, realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { fileError, modelError, PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { asFileError, maxSystemCall, readFully, throwFileError } from "./node-file-errors.ts";
import { type ByteRange, blobSource, checkRange, readRanges as readOneByOne, urlBeside, urlSource } from "./sources.ts";

const handles = new FinalizationRegistry<FileHandle>((handle) => void handle.close().catch(() => {}));

interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly changed: bigint;
}

export class FileSource implements ByteSource {
  readonly name: string;
  readonly path: string;
  readonly size: number;
  readonly identity: Identity;
  readonly #handle: FileHandle;

  constructor(name: string, handle: FileHandle, identity: Identity) {
    this.name = name;
    this.path = resolve(name);
    this.size = Number(identity.size);
    this.identity = identity;
    this.#handle = handle;
    handles.register(this, handle);
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, start, end);
    const bytes = new Uint8Array(end - start);
    const isComplete = await readFully(this.#handle, bytes, start).catch(
      throwFileError(`"${this.name}" cannot be read`),
    );
    if (!isComplete) throw changedError(this.name);
    await this.requireUnchanged();
    return bytes;
  }

  /** Fills `bytes` synchronously with data from offset `start` on. Does not detect a changed file, so callers call `requireUnchanged` at the end. */
  fill(bytes: Uint8Array, start: number): void {
    checkRange(this.name, this.size, start, start + bytes.byteLength);
    try {
      for (let offset = 0; offset < bytes.byteLength; ) {
        const length = Math.min(maxSystemCall, bytes.byteLength - offset);
        const count = readSync(this.#handle.fd, bytes, offset, length, start + offset);
        if (count === 0) throw changedError(this.name);
        offset += count;
      }
    } catch (cause) {
      throw asFileError(`"${this.name}" cannot be read`, cause);
    }
  }

  /** @throws PithError E_SOURCE_CHANGED if the open file was modified, so that earlier reads may be invalid. */
  async requireUnchanged(): Promise<void> {
    const currentIdentity = await identify(this.#handle).catch(throwFileError(`"${this.name}" cannot be read`));
    if (!isSameFile(this.identity, currentIdentity)) throw changedError(this.name);
  }
}

/** Reads ranges in order as one array: files synchronously, because a thread switch takes longer than a short read. */
export async function readRanges(source: ByteSource, ranges: readonly ByteRange[]): Promise<Uint8Array> {
  if (!(source instanceof FileSource)) return readOneByOne(source, ranges);
  const result = new Uint8Array(ranges.reduce((sum, { start, end }) => sum + end - start, 0));
  let at = 0;
  for (const { start, end } of ranges) {
    source.fill(result.subarray(at, at + end - start), start);
    at += end - start;
  }
  await source.requireUnchanged();
  return result;
}

/** Opens a file, Blob, or http(s) or file URL for reading in ranges. @throws PithError E_FILE if it cannot be opened. */
export async function openFile(place: string | URL | Blob): Promise<ByteSource> {
  if (place instanceof Blob) return blobSource(place);
  const text = String(place);
  if (/^https?:/i.test(text)) return urlSource(text);
  const path = /^file:/i.test(text) ? fileURLToPath(text) : text;
  let handle: FileHandle | undefined;
  try {
    // Checks the type before opening, because opening a named pipe would block until someone writes to it.
    const stats = await stat(path);
    if (stats.isDirectory()) throw await folderError(path);
    if (!stats.isFile()) throw fileError(`"${path}" is not a file.`);
    handle = await open(path, "r");
    return new FileSource(path, handle, await identify(handle));
  } catch (cause) {
    await handle?.close();
    throw asFileError(`"${path}" cannot be opened`, cause);
  }
}

async function folderError(path: string): Promise<PithError> {
  const names: readonly string[] = await readdir(path).catch(() => []);
  const onnxNames: readonly string[] = await readdir(join(path, "onnx")).catch(() => []);
  const models = [...names, ...onnxNames.map((name) => join("onnx", name))]
    .filter((name) => name.endsWith(".onnx"))
    .sort();
  const shownModels = models.slice(0, 8).join(", ");
  const isSavedModel = names.includes("saved_model.pb");
  const hint = isSavedModel
    ? "It is a TensorFlow SavedModel: convert it with python -m tf2onnx.convert --saved-model <folder> --output model.onnx."
    : models.length === 0
      ? undefined
      : `It holds ${models.length > 1 ? `${models.length} models: ` : ""}${shownModels}${models.length > 8 ? ", …" : ""}. Name one.`;
  return fileError(`"${path}" is not a file but a folder.`, { hint });
}

/**
 * Opens a file that a model file refers to. Model files are not trusted, so the file must be in the model's folder or below it. Rejects:
 * - absolute paths and "..";
 * - links that lead out of the folder, except to the folder with the target of the model's path, if that is a link;
 * - files with several hard links, because a hard link can give any other file a name in the folder.
 * @throws PithError E_MODEL if the path leaves the folder; E_FILE if the file cannot be opened.
 */
export async function openBeside(owner: string, location: string): Promise<ByteSource> {
  if (/^https?:/i.test(owner)) return urlBeside(owner, location);
  const rejectionError = (reason: string): PithError =>
    modelError(`"${owner}" refers to "${location}": ${reason}.`, {
      hint: "External data must be files of their own in the model's folder. A link may lead to another place in it, or into the folder of the file that the model itself is a link to.",
    });
  const parts = location.split(/[/\\]/);
  if (location === "" || location.includes("\0")) throw rejectionError("which is not a file name");
  if (isAbsolute(location) || /^[A-Za-z]:/.test(location) || parts[0] === "") throw rejectionError("an absolute path");
  if (parts.includes("..")) throw rejectionError("the path leaves the model's folder");
  const path = join(dirname(owner), location);
  let target: string;
  try {
    target = await realpath(path);
    // In the cache of a model hub, a model's folder contains links, whose targets are in one other folder.
    const folders = [await realpath(dirname(owner)), dirname(await realpath(owner).catch(() => owner))];
    if (!folders.some((folder) => isInside(folder, target)))
      throw rejectionError(
        "a link that leads neither into the model's folder nor to the folder of the model's own file",
      );
    const stats = await lstat(target);
    if (stats.isDirectory()) throw rejectionError("a folder");
    if (stats.nlink > 1)
      throw rejectionError(`the file has ${stats.nlink} hard links and may be another file under this name`);
  } catch (cause) {
    throw asFileError(`"${owner}" keeps weights in "${path}", which cannot be opened`, cause);
  }
  return openFile(target);
}

/** Matches a file in the cache of a model hub. The folders of models contain links to such files: `snapshots/…/config.json` → `../../blobs/…`. */
const hubCachePattern = /[/\\](models|datasets|spaces)--[^/\\]+[/\\]blobs[/\\][0-9a-f]{40,64}$/;

/** Returns whether a file is a link to a place outside of the folder. Links into the cache of a model hub do not count. */
export async function leavesFolder(folder: string, name: string): Promise<boolean> {
  const target = await realpath(join(folder, name)).catch(() => undefined);
  return target !== undefined && !isInside(await realpath(folder), target) && !hubCachePattern.test(target);
}

function isInside(folder: string, path: string): boolean {
  const relativePath = relative(folder, path);
  return !(relativePath.startsWith(`..${sep}`) || relativePath === ".." || isAbsolute(relativePath));
}

/** Returns the path of a source that is an unreplaced file. */
export async function pathOf(source: ByteSource): Promise<string | undefined> {
  if (!(source instanceof FileSource)) return undefined;
  let handle: FileHandle | undefined;
  try {
    handle = await open(source.path, "r");
    return isSameFile(source.identity, await identify(handle)) ? source.path : undefined;
  } catch {
    return undefined;
  } finally {
    await handle?.close();
  }
}

async function identify(handle: FileHandle): Promise<Identity> {
  const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
  return { device: dev, inode: ino, size, changed: mtimeNs };
}

function isSameFile(a: Identity, b: Identity): boolean {
  return a.device === b.device && a.inode === b.inode && a.size === b.size && a.changed === b.changed;
}

function changedError(name: string): PithError {
  return new PithError("E_SOURCE_CHANGED", `"${name}" was changed after it had been opened.`, {
    hint: "Open the model again.",
  });
}
