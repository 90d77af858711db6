/**
 * Writing files so that a path holds either what it held before, or the whole new file.
 *
 * Every file is written under a temporary name beside its own, brought to the disk, and then takes its name in one step. Files that belong
 * together take their names one after the other: should one of them fail to, those before it get back what they held. A process that is
 * killed may leave temporary files behind, never half of a file under its own name.
 */
import { randomBytes } from "node:crypto";
import { constants, copyFile, type FileHandle, link, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PithError } from "../errors.ts";
import type { StoredBytes } from "../tensor/types.ts";
import { failure } from "./node-failure.ts";
import { FileSource } from "./node-source.ts";

/** One write of the system is at most this long: Linux stops a little below 2 GiB. */
const writeAtMost = 2 ** 30;

/**
 * Ranges of other files are copied through two buffers of this length: one is read into while the other is written. Both lie in a core's
 * cache then, which was found to be up to four times as fast as buffers of 1 MiB.
 */
const copyBytes = 2 ** 18;

/** Bytes in order. A chunk must not change after it was handed over. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The bytes of a file, in order: in hand, or a range of something to copy. */
export type Parts = AsyncIterable<Uint8Array | StoredBytes> | Iterable<Uint8Array | StoredBytes>;

/** A file on its way. */
interface Staged {
  readonly path: string;
  /** Where `path` leads: through a link to the file itself, so that the link stays a link. */
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

/** Writes files that belong together, all or none; they take their names in the order given, none before all are complete. */
export async function writeFilesAtomically(files: readonly (readonly [path: string, parts: Parts])[]): Promise<void> {
  const staged: Staged[] = [];
  try {
    for (const [path, parts] of files) {
      const file = await stage(path).catch(unwritable(path));
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

async function stage(path: string): Promise<Staged> {
  const target = await realpath(path).catch(() => path);
  const old = await stat(target).catch(() => undefined);
  if (old !== undefined && !old.isFile()) {
    throw new PithError("E_FILE", `"${path}" cannot be written: it is ${old.isDirectory() ? "a folder" : "no file"}.`);
  }
  const mode = old === undefined ? undefined : old.mode & 0o777;
  return { path, target, temporary: besideOf(target), mode, backup: undefined, placed: false };
}

function besideOf(target: string): string {
  return join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
}

async function writeTemporary({ temporary, path, mode }: Staged, parts: Parts): Promise<void> {
  const handle = await open(temporary, "wx", mode ?? 0o666).catch(unwritable(path));
  try {
    if (mode !== undefined) await handle.chmod(mode).catch(unwritable(path));
    const output = new Output(handle, path);
    // The next part is made while one is written.
    for await (const part of ahead(parts)) {
      if (part instanceof Uint8Array) await output.write(part);
      else await output.copy(part);
    }
    await output.finish();
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
  await handle.close().catch(unwritable(path));
}

/** A file that is being written. */
class Output {
  readonly #handle: FileHandle;
  readonly #path: string;
  #buffers: readonly [Uint8Array, Uint8Array] | undefined;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.byteLength; ) {
      const length = Math.min(writeAtMost, bytes.byteLength - written);
      written += (await this.#handle.write(bytes, written, length).catch(unwritable(this.#path))).bytesWritten;
    }
  }

  async copy({ source, start, end }: StoredBytes): Promise<void> {
    const length = Math.min(copyBytes, end - start);
    this.#buffers ??= [new Uint8Array(copyBytes), new Uint8Array(copyBytes)];
    const [first, second] = this.#buffers;
    let writing: Promise<void> = Promise.resolve();
    try {
      for (let at = start, turn = 0; at < end; at += length, turn++) {
        const wanted = Math.min(length, end - at);
        let bytes: Uint8Array;
        if (source instanceof FileSource) {
          // This buffer was written two turns ago.
          bytes = (turn % 2 === 0 ? first : second).subarray(0, wanted);
          await source.readInto(bytes, at);
        } else bytes = await source.read(at, at + wanted);
        await writing;
        writing = this.write(bytes);
        writing.catch(() => {});
      }
    } finally {
      await writing;
    }
    if (source instanceof FileSource) await source.requireUnchanged();
  }

  /** Waits until all of it is on the disk. */
  async finish(): Promise<void> {
    await this.#handle.sync().catch(unwritable(this.#path));
  }
}

async function* ahead(parts: Parts): AsyncGenerator<Uint8Array | StoredBytes, void, undefined> {
  const iterator = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]();
  const ask = async (): Promise<IteratorResult<Uint8Array | StoredBytes, unknown>> => iterator.next();
  let next = ask();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done === true) return;
      next = ask();
      // Whoever writes may fail first, and then nobody waits for this one.
      next.catch(() => {});
      yield value;
    }
  } finally {
    await next.catch(() => {});
    await iterator.return?.();
  }
}

async function putInPlace(file: Staged, keepOld: boolean): Promise<void> {
  if (keepOld && file.mode !== undefined) {
    const backup = besideOf(file.target);
    file.backup = backup;
    // A second name costs nothing; file systems without such names get a copy.
    await link(file.target, backup).catch(() => copyFile(file.target, backup, constants.COPYFILE_FICLONE));
  }
  await rename(file.temporary, file.target);
  file.placed = true;
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
