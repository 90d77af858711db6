/** Writes files atomically, under temporary names that are synced and renamed. */
import { writeSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { constants, copyFile, link, lstat, open, realpath, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileError } from "../errors.ts";
import type { StoredBytes } from "../tensor/types.ts";
import type { Parts } from "./files.ts";
import { throwFileError } from "./node-file-errors.ts";
import { removeLeftovers, temporaryPathFor } from "./node-leftovers.ts";
import { FileSource } from "./node-source.ts";

/** The buffer size in bytes of all writes. */
const bufferBytes = 2 ** 18;

/** The bytes per system write. Longer writes are slow on Linux, which tries to allocate a memory block of their length. */
const writeBytes = 2 ** 15;

/** The bytes between pauses for other work. */
const pauseBytes = 2 ** 23;

interface StagedFile {
  readonly path: string;
  /** The path with links resolved, or `path` itself if a link is to be replaced. */
  readonly target: string;
  readonly temporary: string;
  /** The permissions of the replaced file; undefined if the file is new. */
  readonly mode: number | undefined;
  /** The path of a copy of the old file. */
  backup: string | undefined;
  isRenamed: boolean;
}

/** Writes a file atomically. The parts can be ranges of the replaced file. @throws PithError E_FILE, and any error of the parts. */
export function writeFileAtomically(path: string, parts: Parts): Promise<void> {
  return writeFilesAtomically([[path, parts]]);
}

/** Whether a symbolic link at the path is followed to its target, or replaced by the file. */
export type Links = "followed" | "replaced";

/**
 * Writes related files, either all or none. They are renamed in the given order after all are complete.
 * @param files of which a function gets the first file's temporary path.
 * @param stale paths that are removed before the first rename, such as copies of an old file.
 */
export async function writeFilesAtomically(
  files: readonly (readonly [path: string, parts: Parts | ((first: string) => Parts)])[],
  links: Links = "followed",
  stale: readonly string[] = [],
): Promise<void> {
  const stagedFiles: StagedFile[] = [];
  const removedFiles: { readonly path: string; readonly backup: string }[] = [];
  try {
    for (const [path, parts] of files) {
      const file = await stage(path, stale.includes(path) ? "replaced" : links).catch(throwUnwritable(path));
      stagedFiles.push(file);
      await writeTemporary(file, typeof parts === "function" ? parts(stagedFiles[0]?.temporary ?? "") : parts);
    }
    for (const path of stale) {
      if ((await lstat(path).catch(() => undefined)) === undefined) continue;
      const backup = temporaryPathFor(path);
      await rename(path, backup).catch(throwUnwritable(path));
      removedFiles.push({ path, backup });
    }
    for (const [index, file] of stagedFiles.entries()) {
      // The last file needs no backup, because no step after its rename can fail.
      const keepsOld = index < stagedFiles.length - 1 && !stale.includes(file.path);
      await renameToTarget(file, keepsOld).catch(throwUnwritable(file.path));
    }
  } catch (error) {
    for (const file of stagedFiles.reverse()) await undo(file);
    for (const { path, backup } of removedFiles) await rename(backup, path).catch(() => {});
    throw error;
  }
  for (const { backup } of [...stagedFiles, ...removedFiles])
    if (backup !== undefined) await rm(backup, { force: true }).catch(() => {});
  for (const folder of new Set(stagedFiles.map(({ target }) => dirname(target)))) await syncFolder(folder);
}

/** Checks that a file can be written, before hours of work, and does not change it. @throws PithError E_FILE as `writeFileAtomically` does. */
export async function tryToWrite(path: string): Promise<void> {
  const file = await stage(path, "followed").catch(throwUnwritable(path));
  try {
    await writeTemporary(file, []);
  } finally {
    await undo(file);
  }
}

/** Renames a file that processes read by either name. Both names refer to it while `between` runs. @throws PithError E_FILE, and its errors. */
export async function renameWhileRead(from: string, to: string, between: () => Promise<void>): Promise<void> {
  const secondName = temporaryPathFor(to);
  const isLink = await symlink(basename(from), secondName).then(
    () => true,
    () => false,
  );
  if (!isLink) await addName(from, secondName).catch(throwUnwritable(to));
  await rename(secondName, to).catch(async (cause) => {
    await rm(secondName, { force: true }).catch(() => {});
    throwUnwritable(to)(cause);
  });
  await between();
  await (isLink ? rename(from, to) : rm(from)).catch(throwUnwritable(to));
  await syncFolder(dirname(to));
}

async function stage(path: string, links: Links): Promise<StagedFile> {
  const target = links === "followed" ? await realpath(path).catch(() => path) : path;
  const isLink = links === "replaced" && (await lstat(target).catch(() => undefined))?.isSymbolicLink() === true;
  const oldStats = isLink ? undefined : await stat(target).catch(() => undefined);
  if (oldStats !== undefined && !oldStats.isFile())
    throw fileError(`"${path}" cannot be written: it is ${oldStats.isDirectory() ? "a folder" : "not a file"}.`);
  const mode = oldStats === undefined ? undefined : oldStats.mode & 0o777;
  // Renaming requires permissions only for the folder, so a read-only file must be rejected explicitly.
  if (mode !== undefined && (mode & 0o222) === 0)
    throw fileError(`"${path}" cannot be written: the file is read-only.`, {
      hint: "Name another file, or make this one writable.",
    });
  await removeLeftovers(target);
  return { path, target, temporary: temporaryPathFor(target), mode, backup: undefined, isRenamed: false };
}

async function writeTemporary({ temporary, path, mode }: StagedFile, parts: Parts): Promise<void> {
  const handle = await open(temporary, "wx", mode ?? 0o666).catch(throwUnwritable(path));
  try {
    if (mode !== undefined) await handle.chmod(mode).catch(throwUnwritable(path));
    const output = new Output(handle, path);
    for await (const part of parts) await output.add(part);
    await output.finish();
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
  await handle.close().catch(throwUnwritable(path));
}

/** Writes parts through one buffer, synchronously, because waking a waiting thread takes longer than access to the page cache. */
class Output {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #buffer = new Uint8Array(bufferBytes);
  #filled = 0;
  #written = 0;
  readonly #sources = new Set<FileSource>();

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  async add(part: Uint8Array | StoredBytes): Promise<void> {
    const byteRange = part instanceof Uint8Array ? { start: 0, end: part.byteLength } : part;
    for (let { start } = byteRange; start < byteRange.end; ) {
      const length = Math.min(byteRange.end - start, bufferBytes - this.#filled);
      const room = this.#buffer.subarray(this.#filled, this.#filled + length);
      if (part instanceof Uint8Array) room.set(part.subarray(start, start + length));
      else if (part.source instanceof FileSource) part.source.fill(room, start);
      else room.set(await part.source.read(start, start + length));
      start += length;
      this.#filled += length;
      if (this.#filled === bufferBytes) {
        this.#flush();
        if (this.#written % pauseBytes === 0) await setImmediate();
      }
    }
    if (!(part instanceof Uint8Array) && part.source instanceof FileSource) this.#sources.add(part.source);
  }

  /** Waits until the data is synced. @throws PithError E_SOURCE_CHANGED if a file from which ranges were copied has changed. */
  async finish(): Promise<void> {
    this.#flush();
    for (const source of this.#sources) await source.requireUnchanged();
    await this.#handle.sync().catch(throwUnwritable(this.#path));
  }

  #flush(): void {
    try {
      for (let offset = 0; offset < this.#filled; ) {
        const length = Math.min(writeBytes, this.#filled - offset);
        offset += writeSync(this.#handle.fd, this.#buffer, offset, length);
      }
    } catch (cause) {
      throwUnwritable(this.#path)(cause);
    }
    this.#written += this.#filled;
    this.#filled = 0;
  }
}

async function renameToTarget(file: StagedFile, keepOld: boolean): Promise<void> {
  if (keepOld && file.mode !== undefined) {
    const backup = temporaryPathFor(file.target);
    file.backup = backup;
    await addName(file.target, backup);
  }
  await rename(file.temporary, file.target);
  file.isRenamed = true;
}

/** Gives a file a second name by a hard link, or by a copy if the file system has no hard links. */
async function addName(file: string, name: string): Promise<void> {
  await link(file, name).catch(() => copyFile(file, name, constants.COPYFILE_FICLONE));
}

/** Restores the previous files. Errors are ignored, because the original error is more informative. */
async function undo({ temporary, target, backup, isRenamed }: StagedFile): Promise<void> {
  await rm(temporary, { force: true }).catch(() => {});
  if (isRenamed) await (backup === undefined ? rm(target, { force: true }) : rename(backup, target)).catch(() => {});
  else if (backup !== undefined) await rm(backup, { force: true }).catch(() => {});
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}

const throwUnwritable = (path: string): ((cause: unknown) => never) => throwFileError(`"${path}" cannot be written`);
