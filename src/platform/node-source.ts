/**
 * Files for reading in ranges.
 *
 * An opened file keeps its handle, so that a model stays readable while its own file is being replaced (`save` onto the path it was
 * opened from): the name then belongs to the new file, the handle to the old one. What is refused is a file that was changed in place.
 */
import { readSync } from "node:fs";
import { type FileHandle, lstat, open, readdir, realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { failure } from "./node-failure.ts";
import { type ByteRange, blobSource, checkRange, readRanges as readOneByOne, urlBeside, urlSource } from "./sources.ts";

/** One read of the system is at most this long: Linux stops a little below 2 GiB. */
const readAtMost = 2 ** 30;

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
    try {
      for (let filled = 0; filled < bytes.byteLength; ) {
        const length = Math.min(readAtMost, bytes.byteLength - filled);
        const { bytesRead } = await this.#handle.read(bytes, filled, length, start + filled);
        if (bytesRead === 0) throw changed(this.name);
        filled += bytesRead;
      }
    } catch (cause) {
      throw failure(`"${this.name}" cannot be read`, cause);
    }
    await this.requireUnchanged();
    return bytes;
  }

  /**
   * Fills `bytes` from `start` on, without giving way to anything else. Whoever copies much this way asks once, in the end, whether the
   * file is still the same.
   */
  fill(bytes: Uint8Array, start: number): void {
    checkRange(this.name, this.size, start, start + bytes.byteLength);
    try {
      for (let filled = 0; filled < bytes.byteLength; ) {
        const length = Math.min(readAtMost, bytes.byteLength - filled);
        const count = readSync(this.#handle.fd, bytes, filled, length, start + filled);
        if (count === 0) throw changed(this.name);
        filled += count;
      }
    } catch (cause) {
      throw failure(`"${this.name}" cannot be read`, cause);
    }
  }

  /** @throws PithError E_SOURCE_CHANGED if what was read may be of another file than what was read before. */
  async requireUnchanged(): Promise<void> {
    const now = await identify(this.#handle).catch((cause: unknown) => {
      throw failure(`"${this.name}" cannot be read`, cause);
    });
    if (!same(this.identity, now)) throw changed(this.name);
  }
}

/**
 * Ranges of a source, one behind the other. Those of a file are read without giving way to anything else: to hand each to another thread
 * takes twenty times as long as to read some hundred bytes.
 */
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

/**
 * A file for reading in ranges; a Blob or an http(s) or file URL does as well.
 * @throws PithError E_FILE if it cannot be opened.
 */
export async function openFile(place: string | URL | Blob): Promise<ByteSource> {
  if (place instanceof Blob) return blobSource(place);
  const text = String(place);
  if (/^https?:/i.test(text)) return urlSource(text);
  const path = /^file:/i.test(text) ? fileURLToPath(text) : text;
  let handle: FileHandle | undefined;
  try {
    // Asked before opening: a named pipe would block until somebody writes into it.
    const found = await stat(path);
    if (found.isDirectory()) throw await isFolder(path);
    if (!found.isFile()) throw new PithError("E_FILE", `"${path}" is not a file.`);
    handle = await open(path, "r");
    return new FileSource(path, handle, await identify(handle));
  } catch (cause) {
    await handle?.close();
    throw failure(`"${path}" cannot be opened`, cause);
  }
}

/** A folder may well hold what is meant. */
async function isFolder(path: string): Promise<PithError> {
  const names: readonly string[] = await readdir(path).catch(() => []);
  // Where exporters for transformers.js put models.
  const within: readonly string[] = await readdir(join(path, "onnx")).catch(() => []);
  const models = [...names, ...within.map((name) => join("onnx", name))]
    .filter((name) => name.endsWith(".onnx"))
    .sort();
  const listed = models.slice(0, 8).join(", ");
  const isSavedModel = names.includes("saved_model.pb");
  const hint = isSavedModel
    ? "It is a TensorFlow SavedModel: convert it with python -m tf2onnx.convert --saved-model <folder> --output model.onnx."
    : models.length === 0
      ? undefined
      : `It holds ${models.length > 1 ? `${models.length} models: ` : ""}${listed}${models.length > 8 ? ", …" : ""}. Name one.`;
  return new PithError("E_FILE", `"${path}" is not a file but a folder.`, { hint });
}

/**
 * A file that another one refers to, which must lie in the same folder or below it: a model file is untrusted input and must not
 * make us read anything else. Refused are absolute paths, "..", symbolic links that lead out (but not to where the model itself lies, if
 * that is reached through a link too), and files with several hard links: which of their names is the owner's cannot be told.
 * @throws PithError E_MODEL if it leaves the folder, E_FILE if it cannot be opened.
 */
export async function openBeside(owner: string, location: string): Promise<ByteSource> {
  if (/^https?:/i.test(owner)) return urlBeside(owner, location);
  const refuse = (why: string): PithError =>
    new PithError("E_MODEL", `"${owner}" refers to "${location}": ${why}.`, {
      hint: "External data must be files of their own in the model's folder. A link may lead to another place in it, or into the folder of the file that the model itself is a link to.",
    });
  const parts = location.split(/[/\\]/);
  if (location === "" || location.includes("\0")) throw refuse("which is not a file name");
  if (isAbsolute(location) || /^[A-Za-z]:/.test(location) || parts[0] === "") throw refuse("an absolute path");
  if (parts.includes("..")) throw refuse("the path leaves the model's folder");
  const path = join(dirname(owner), location);
  let real: string;
  try {
    real = await realpath(path);
    // Caches keep each file elsewhere, under the hash of its contents, and make folders of links to them: model and weights then lie
    // side by side where the links lead.
    const folders = [await realpath(dirname(owner)), dirname(await realpath(owner).catch(() => owner))];
    if (!folders.some((folder) => isInside(folder, real)))
      throw refuse("a link that leads neither into the model's folder nor to where the model's own file lies");
    const links = (await lstat(real)).nlink;
    if (links > 1) throw refuse(`the file has ${links} hard links and may be another file under this name`);
  } catch (cause) {
    throw failure(`"${owner}" keeps weights in "${path}", which cannot be opened`, cause);
  }
  return openFile(real);
}

/** Where the cache of a model hub keeps a file: folders of models are links to it (`snapshots/…/config.json` → `../../blobs/…`). */
const inHubCache = /[/\\](models|datasets|spaces)--[^/\\]+[/\\]blobs[/\\][0-9a-f]{40,64}$/;

/** Whether the file of that name in a folder lies elsewhere, because a link leads out of the folder. Links into the cache of a model hub do not count. */
export async function leavesFolder(folder: string, name: string): Promise<boolean> {
  const real = await realpath(join(folder, name)).catch(() => undefined);
  return real !== undefined && !isInside(await realpath(folder), real) && !inHubCache.test(real);
}

function isInside(folder: string, path: string): boolean {
  const inside = relative(folder, path);
  return !(inside.startsWith(`..${sep}`) || inside === ".." || isAbsolute(inside));
}

/** The path of a source that is a file, if that path still leads to this very file. */
export async function pathOf(source: ByteSource): Promise<string | undefined> {
  if (!(source instanceof FileSource)) return undefined;
  let handle: FileHandle | undefined;
  try {
    handle = await open(source.path, "r");
    return same(source.identity, await identify(handle)) ? source.path : undefined;
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

function same(a: Identity, b: Identity): boolean {
  return a.device === b.device && a.inode === b.inode && a.size === b.size && a.changed === b.changed;
}

function changed(name: string): PithError {
  return new PithError("E_SOURCE_CHANGED", `"${name}" was changed after it had been opened.`, {
    hint: "Open the model again.",
  });
}
