/**
 * Files and machine, in Node. `browser.ts` exports the same names; package.json chooses ("#platform").
 *
 * An opened file keeps its handle, so that a model stays readable while its own file is being replaced (`save` onto the path it was
 * opened from): the name then belongs to the new file, the handle to the old one. What is refused is a file that was changed in place.
 */
import { randomBytes } from "node:crypto";
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readFile as readWhole,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { availableParallelism, homedir } from "node:os";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createBrotliCompress, constants as zlib } from "node:zlib";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { blobSource, checkRange, urlSource } from "./sources.ts";

export { blobSource, bytesSource, urlSource } from "./sources.ts";

/** One read of the system is at most this long: Linux stops a little below 2 GiB. */
const readAtMost = 2 ** 30;

const handles = new FinalizationRegistry<FileHandle>((handle) => void handle.close().catch(() => {}));

interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly changed: bigint;
}

class FileSource implements ByteSource {
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
    let filled = 0;
    try {
      while (filled < bytes.byteLength) {
        const length = Math.min(readAtMost, bytes.byteLength - filled);
        const { bytesRead } = await this.#handle.read(bytes, filled, length, start + filled);
        if (bytesRead === 0) throw changed(this.name);
        filled += bytesRead;
      }
      if (!same(this.identity, await identify(this.#handle))) throw changed(this.name);
    } catch (cause) {
      throw failure(`"${this.name}" cannot be read`, cause);
    }
    return bytes;
  }
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
    handle = await open(path, "r");
    if (!(await handle.stat()).isFile()) throw new PithError("E_FILE", `"${path}" is not a file.`);
    return new FileSource(path, handle, await identify(handle));
  } catch (cause) {
    await handle?.close();
    throw failure(`"${path}" cannot be opened`, cause);
  }
}

/**
 * A file that another one refers to, which must lie in the same folder or below it: a model file is untrusted input and must not
 * make us read anything else. Refused are absolute paths, "..", symbolic links that lead out, and files with several hard links.
 * @throws PithError E_MODEL if it leaves the folder, E_FILE if it cannot be opened.
 */
export async function openBeside(owner: string, location: string): Promise<ByteSource> {
  const refuse = (why: string): PithError =>
    new PithError("E_MODEL", `"${owner}" refers to "${location}": ${why}.`, {
      hint: "External data must lie in the model's own folder, as files of their own.",
    });
  const parts = location.split(/[/\\]/);
  if (location === "" || location.includes("\0")) throw refuse("that is no file name");
  if (isAbsolute(location) || /^[A-Za-z]:/.test(location) || parts[0] === "") throw refuse("an absolute path");
  if (parts.includes("..")) throw refuse("the path leaves the model's folder");
  const path = join(dirname(owner), location);
  let real: string;
  try {
    const folder = await realpath(dirname(owner));
    real = await realpath(path);
    const inside = relative(folder, real);
    if (inside.startsWith(`..${sep}`) || inside === ".." || isAbsolute(inside)) {
      throw refuse("a link leads out of the model's folder");
    }
    const links = (await lstat(real)).nlink;
    if (links > 1) throw refuse(`the file has ${links} hard links and may be another file under this name`);
  } catch (cause) {
    throw failure(`"${owner}" keeps weights in "${path}", which cannot be opened`, cause);
  }
  return openFile(real);
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

/** The bytes of a file, in order. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes a file in one step: into a temporary file beside it, which takes the name once it is complete and on the disk.
 * The chunks may be read from the file that is being replaced. On failure the old file is untouched.
 * @throws PithError E_FILE if it cannot be written, and whatever the chunks throw.
 */
export function writeFileAtomically(path: string, chunks: Chunks): Promise<void> {
  return writeFilesAtomically([[path, chunks]]);
}

/** Writes files that belong together: none takes its name before all are complete. */
export async function writeFilesAtomically(files: readonly (readonly [path: string, chunks: Chunks])[]): Promise<void> {
  const written: { readonly temporary: string; readonly target: string; readonly path: string }[] = [];
  try {
    for (const [path, chunks] of files) {
      // Through a link to the file itself: the link stays a link.
      const target = await realpath(path).catch(() => path);
      const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
      written.push({ temporary, target, path });
      await writeTemporary(temporary, target, path, chunks);
    }
    for (const { temporary, target, path } of written) await rename(temporary, target).catch(unwritable(path));
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    throw error;
  }
}

async function writeTemporary(temporary: string, target: string, path: string, chunks: Chunks): Promise<void> {
  const mode = await stat(target).then(
    (old) => old.mode & 0o777,
    () => 0o666,
  );
  const handle = await open(temporary, "wx", mode).catch(unwritable(path));
  try {
    for await (const chunk of chunks) await writeAll(handle, chunk).catch(unwritable(path));
    await handle.sync().catch(unwritable(path));
  } finally {
    await handle.close();
  }
}

function unwritable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw failure(`"${path}" cannot be written`, cause);
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.byteLength) {
    written += (await handle.write(chunk, written, Math.min(readAtMost, chunk.byteLength - written))).bytesWritten;
  }
}

/** A whole file. @throws PithError E_FILE */
export async function readFile(path: string): Promise<Uint8Array> {
  try {
    return await readWhole(path);
  } catch (cause) {
    throw failure(`"${path}" cannot be read`, cause);
  }
}

/** A whole text file, in UTF-8. @throws PithError E_FILE */
export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readFile(path));
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
  await mkdir(path, { recursive: true }).catch((cause) => {
    throw failure(`The folder "${path}" cannot be made`, cause);
  });
}

/** Removes a file, if it is there. @throws PithError E_FILE */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch((cause) => {
    throw failure(`"${path}" cannot be removed`, cause);
  });
}

/** Where Pith may keep what it can compute again (PITH_CACHE, else the user's cache folder). It need not exist yet. */
export function cacheFolder(): string {
  const chosen = process.env.PITH_CACHE;
  if (chosen !== undefined && chosen !== "") return resolve(chosen);
  if (process.platform === "win32")
    return join(process.env.LOCALAPPDATA ?? join(homedir(), "AppData", "Local"), "pith");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "pith");
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pith");
}

export function joinPath(...parts: readonly string[]): string {
  return join(...parts);
}

/** The folder that a path lies in. */
export function folderOf(path: string): string {
  return dirname(path);
}

/** The last part of a path. */
export function fileNameOf(path: string): string {
  return basename(path);
}

/** ".onnx"; "" if there is none. Lower case. */
export function extensionOf(path: string): string {
  return extname(path).toLowerCase();
}

/** Imports a user's ES module by its path. @throws PithError E_FILE */
export async function importModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  if ((await fileKind(path)) !== "file") throw new PithError("E_FILE", `"${path}" does not exist.`);
  return (await import(pathToFileURL(resolve(path)).href)) as Readonly<Record<string, unknown>>;
}

/** How many threads are worth starting. */
export function threadCount(): number {
  return availableParallelism();
}

/** The size in bytes after brotli at quality 5: what a web server would send. */
export async function brotliSize(chunks: Chunks): Promise<number> {
  const brotli = createBrotliCompress({ params: { [zlib.BROTLI_PARAM_QUALITY]: 5, [zlib.BROTLI_PARAM_LGWIN]: 24 } });
  let size = 0;
  brotli.on("data", (chunk: Uint8Array) => {
    size += chunk.byteLength;
  });
  const done = new Promise<void>((fulfil, reject) => {
    brotli.on("end", fulfil);
    brotli.on("error", reject);
  });
  for await (const chunk of chunks) {
    if (!brotli.write(chunk)) await new Promise((fulfil) => brotli.once("drain", fulfil));
  }
  brotli.end();
  await done;
  return size;
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

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is not a folder",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  EMFILE: "too many files are open",
};

function failure(what: string, cause: unknown): PithError {
  if (cause instanceof PithError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return new PithError(
    "E_FILE",
    `${what}: ${reasons[code] ?? (cause instanceof Error ? cause.message : String(cause))}.`,
    {
      cause,
    },
  );
}
