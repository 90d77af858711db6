/**
 * Writing files so that a path holds either what it held before, or the whole new file.
 *
 * Every file is written under a temporary name beside its own, brought to the disk, and then takes its name in one step. Files that belong
 * together take their names one after the other: should one of them fail to, those before it get back what they held. A process that is
 * killed may leave temporary files behind, never half of a file under its own name; the next one to write that file removes them.
 */
import { writeSync } from "node:fs";
import {
  constants,
  copyFile,
  type FileHandle,
  link,
  open,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { PithError } from "../errors.ts";
import type { StoredBytes } from "../tensor/types.ts";
import type { Parts } from "./files.ts";
import { failure } from "./node-failure.ts";
import { besideOf, removeLeftovers } from "./node-leftovers.ts";
import { FileSource } from "./node-source.ts";

/** What is written goes through one buffer of this length, which stays in a core's own cache. */
const bufferBytes = 2 ** 18;

/**
 * The system writes so much of it at a time. Linux takes for each write a block of memory of the write's own length where it can; blocks
 * above 32 KiB are rare once memory has been in use for a while, and files of some gigabytes were found to take up to three times as long
 * with longer writes. Shorter ones cost more calls.
 */
const writeBytes = 2 ** 15;

/** Everything else in the process gets its turn after so many bytes, which take some ten milliseconds. */
const turnBytes = 2 ** 23;

interface Staged {
  readonly path: string;
  /** Where `path` leads: through a link to the file itself, so that the link stays a link; `path` where the link is what is replaced. */
  readonly target: string;
  readonly temporary: string;
  /** The rights of the file that is replaced; undefined if there is none. */
  readonly mode: number | undefined;
  /** The old file under another name, while it may be needed again. */
  backup: string | undefined;
  placed: boolean;
}

/**
 * Writes a file in one step: into a temporary file beside it, which takes the name once it is complete and on the disk.
 * The parts may be read from the file that is being replaced. On failure the old file is untouched.
 * @throws PithError E_FILE if it cannot be written, and whatever the parts throw.
 */
export function writeFileAtomically(path: string, parts: Parts): Promise<void> {
  return writeFilesAtomically([[path, parts]]);
}

/** What a path that is a symbolic link stands for: the file that it leads to, or the link, which a file then replaces. */
export type Links = "followed" | "replaced";

/** Writes files that belong together, all or none; they take their names in the order given, none before all are complete. */
export async function writeFilesAtomically(
  files: readonly (readonly [path: string, parts: Parts])[],
  links: Links = "followed",
): Promise<void> {
  const staged: Staged[] = [];
  try {
    for (const [path, parts] of files) {
      const file = await stage(path, links).catch(unwritable(path));
      staged.push(file);
      await writeTemporary(file, parts);
    }
    for (const [index, file] of staged.entries()) {
      // Nothing can fail after the last: what it replaces is not needed again.
      await putInPlace(file, index < staged.length - 1).catch(unwritable(file.path));
    }
  } catch (error) {
    for (const file of staged.reverse()) await undo(file);
    throw error;
  }
  for (const { backup } of staged) if (backup !== undefined) await rm(backup, { force: true }).catch(() => {});
  for (const folder of new Set(staged.map(({ target }) => dirname(target)))) await syncFolder(folder);
}

/**
 * Finds out whether a file could be written, by beginning to, before hours of work that end in it. Nothing is left behind, and a file of that
 * name stays as it is.
 * @throws PithError E_FILE as `writeFileAtomically`.
 */
export async function tryToWrite(path: string): Promise<void> {
  const file = await stage(path, "followed").catch(unwritable(path));
  try {
    await writeTemporary(file, []);
  } finally {
    await undo(file);
  }
}

/**
 * Gives a file the name of another one in its folder, in whose place it comes, while it may be opened by either name: while `between`
 * runs both lead to it, and a stop at any point leaves one of the two.
 * @throws PithError E_FILE, and whatever `between` throws; the file is then still there under its old name.
 */
export async function renameWhileRead(from: string, to: string, between: () => Promise<void>): Promise<void> {
  const second = besideOf(to);
  const isLink = await symlink(basename(from), second).then(
    () => true,
    () => false,
  );
  if (!isLink) await secondName(from, second).catch(unwritable(to));
  await rename(second, to).catch(async (cause) => {
    await rm(second, { force: true }).catch(() => {});
    unwritable(to)(cause);
  });
  await between();
  await (isLink ? rename(from, to) : rm(from)).catch(unwritable(to));
  await syncFolder(dirname(to));
}

async function stage(path: string, links: Links): Promise<Staged> {
  const target = links === "followed" ? await realpath(path).catch(() => path) : path;
  const old = await stat(target).catch(() => undefined);
  if (old !== undefined && !old.isFile()) {
    throw new PithError(
      "E_FILE",
      `"${path}" cannot be written: it is ${old.isDirectory() ? "a folder" : "not a file"}.`,
    );
  }
  const mode = old === undefined ? undefined : old.mode & 0o777;
  // To rename asks for rights to the folder only.
  if (mode !== undefined && (mode & 0o222) === 0)
    throw new PithError("E_FILE", `"${path}" cannot be written: the file is read-only.`, {
      hint: "Name another file, or make this one writable.",
    });
  await removeLeftovers(target);
  return { path, target, temporary: besideOf(target), mode, backup: undefined, placed: false };
}

async function writeTemporary({ temporary, path, mode }: Staged, parts: Parts): Promise<void> {
  const handle = await open(temporary, "wx", mode ?? 0o666).catch(unwritable(path));
  try {
    if (mode !== undefined) await handle.chmod(mode).catch(unwritable(path));
    const output = new Output(handle, path);
    for await (const part of parts) await output.add(part);
    await output.finish();
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
  await handle.close().catch(unwritable(path));
}

/**
 * A file that is being written, through a buffer: parts in hand are copied into it, ranges of other files are read into it, and it is
 * written when it is full, whatever the parts are cut like. Reads and writes are not handed to other threads: between two of the page
 * cache, waiting to be woken takes longer than the work, twice as long where cores are busy.
 */
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
    const stored = part instanceof Uint8Array ? { start: 0, end: part.byteLength } : part;
    for (let { start } = stored; start < stored.end; ) {
      const length = Math.min(stored.end - start, bufferBytes - this.#filled);
      const room = this.#buffer.subarray(this.#filled, this.#filled + length);
      if (part instanceof Uint8Array) room.set(part.subarray(start, start + length));
      else if (part.source instanceof FileSource) part.source.fill(room, start);
      else room.set(await part.source.read(start, start + length));
      start += length;
      this.#filled += length;
      if (this.#filled === bufferBytes) {
        this.#flush();
        if (this.#written % turnBytes === 0) await setImmediate();
      }
    }
    if (!(part instanceof Uint8Array) && part.source instanceof FileSource) this.#sources.add(part.source);
  }

  /** Waits until all of it is on the disk. @throws PithError E_SOURCE_CHANGED if a file that ranges came from is another by now. */
  async finish(): Promise<void> {
    this.#flush();
    for (const source of this.#sources) await source.requireUnchanged();
    await this.#handle.sync().catch(unwritable(this.#path));
  }

  #flush(): void {
    try {
      for (let written = 0; written < this.#filled; ) {
        const length = Math.min(writeBytes, this.#filled - written);
        written += writeSync(this.#handle.fd, this.#buffer, written, length);
      }
    } catch (cause) {
      unwritable(this.#path)(cause);
    }
    this.#written += this.#filled;
    this.#filled = 0;
  }
}

async function putInPlace(file: Staged, keepOld: boolean): Promise<void> {
  if (keepOld && file.mode !== undefined) {
    const backup = besideOf(file.target);
    file.backup = backup;
    await secondName(file.target, backup);
  }
  await rename(file.temporary, file.target);
  file.placed = true;
}

/** A second name costs nothing; file systems without such names get a copy. */
async function secondName(file: string, name: string): Promise<void> {
  await link(file, name).catch(() => copyFile(file, name, constants.COPYFILE_FICLONE));
}

/** Brings back what was. What fails here is less than the failure that led here. */
async function undo({ temporary, target, backup, placed }: Staged): Promise<void> {
  await rm(temporary, { force: true }).catch(() => {});
  if (placed) await (backup === undefined ? rm(target, { force: true }) : rename(backup, target)).catch(() => {});
  else if (backup !== undefined) await rm(backup, { force: true }).catch(() => {});
}

/** Makes new names last beyond a loss of power, where the system offers that. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}

function unwritable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw failure(`"${path}" cannot be written`, cause);
  };
}
