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
import { failure } from "./node-failure.ts";

/** One write of the system is at most this long: Linux stops a little below 2 GiB. */
const writeAtMost = 2 ** 30;

/** The bytes of a file, in order. A chunk must not change after it was handed over. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

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
 * The chunks may be read from the file that is being replaced. On failure the old file is untouched.
 * @throws PithError E_FILE if it cannot be written, and whatever the chunks throw.
 */
export function writeFileAtomically(path: string, chunks: Chunks): Promise<void> {
  return writeFilesAtomically([[path, chunks]]);
}

/** Writes files that belong together, all or none; they take their names in the order given, none before all are complete. */
export async function writeFilesAtomically(files: readonly (readonly [path: string, chunks: Chunks])[]): Promise<void> {
  const staged: Staged[] = [];
  try {
    for (const [path, chunks] of files) {
      const file = await stage(path).catch(unwritable(path));
      staged.push(file);
      await writeTemporary(file, chunks);
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

async function writeTemporary({ temporary, path, mode }: Staged, chunks: Chunks): Promise<void> {
  const handle = await open(temporary, "wx", mode ?? 0o666).catch(unwritable(path));
  try {
    if (mode !== undefined) await handle.chmod(mode).catch(unwritable(path));
    // The next chunk is read while one is written.
    for await (const chunk of ahead(chunks)) await writeAll(handle, chunk).catch(unwritable(path));
    await handle.sync().catch(unwritable(path));
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
  await handle.close().catch(unwritable(path));
}

async function* ahead(chunks: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  const ask = async (): Promise<IteratorResult<Uint8Array, unknown>> => iterator.next();
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

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.byteLength) {
    written += (await handle.write(chunk, written, Math.min(writeAtMost, chunk.byteLength - written))).bytesWritten;
  }
}
