/**
 * Folders of bounded size, least recently used first. An entry is a file, or a folder of files that belong together. The access time tells when it was used;
 * the modification time stays, because a reader takes an open file for another one when that changes.
 */
import { lstat, readdir, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { isLeftBehind, temporaryOf } from "./node-leftovers.ts";

interface Entry {
  readonly name: string;
  /** The files of a folder that the caller made; undefined for a file. */
  readonly files: readonly string[] | undefined;
  readonly bytes: number;
  readonly used: number;
}

/** Notes that a file is used. Its time of change becomes a whole second, which alone can be set again exactly. */
export async function touchFile(path: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(path);
    await utimes(path, Date.now() / 1000, Math.floor(mtimeMs / 1000));
  } catch {
    // It is gone, or not ours: then it counts as not used.
  }
}

/** Adds up the sizes of a folder's entries. @param isOwn as of `trimFolder`. */
export async function folderBytes(folder: string, isOwn: (path: string) => boolean): Promise<number> {
  return (await entriesOf(folder, isOwn)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Removes temporary files that dead processes have left, what is empty, and then what was used longest ago until no more than so many bytes are left.
 * Call it while nobody reads in the folder. It leaves symbolic links and the files of others.
 * @param isOwn tells by the path below the folder whether the caller made an entry, or a file in an entry that is a folder.
 * @param needed names of entries that stay.
 * @returns the names of those that were removed.
 */
export async function trimFolder(
  folder: string,
  most: number,
  isOwn: (path: string) => boolean,
  needed: ReadonlySet<string> = new Set(),
): Promise<readonly string[]> {
  for (const name of await namesIn(folder)) {
    const temporary = temporaryOf(name);
    if (temporary !== undefined && (await isLeftBehind(join(folder, name), temporary.ending)))
      await unlink(join(folder, name)).catch(() => {});
  }
  const entries = await entriesOf(folder, isOwn);
  let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const removed: string[] = [];
  for (const entry of entries.toSorted((a, b) => a.used - b.used)) {
    if (bytes <= most && entry.bytes > 0) continue;
    if (needed.has(entry.name) || !(await remove(folder, entry))) continue;
    bytes -= entry.bytes;
    removed.push(entry.name);
  }
  return removed;
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

/** The entries of a folder that the caller made. */
async function entriesOf(folder: string, isOwn: (path: string) => boolean): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const name of await namesIn(folder)) {
    const entry = isOwn(name) ? await entryAt(folder, name, isOwn) : undefined;
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

async function entryAt(folder: string, name: string, isOwn: (path: string) => boolean): Promise<Entry | undefined> {
  const path = join(folder, name);
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isFile() === true)
    return { name, files: undefined, bytes: stats.size, used: Math.max(stats.atimeMs, stats.mtimeMs) };
  if (stats?.isDirectory() !== true) return undefined;
  const files: string[] = [];
  let [bytes, used] = [0, 0];
  for (const file of await namesIn(path)) {
    if (!isOwn(`${name}/${file}`) && temporaryOf(file) === undefined) continue;
    const found = await lstat(join(path, file)).catch(() => undefined);
    if (found?.isFile() !== true) continue;
    files.push(file);
    bytes += found.size;
    used = Math.max(used, found.mtimeMs);
  }
  return { name, files, bytes, used };
}

/** @returns whether the entry was removed; a folder in which others have files stays. */
async function remove(folder: string, { name, files }: Entry): Promise<boolean> {
  const path = join(folder, name);
  try {
    if (files === undefined) await unlink(path);
    else {
      for (const file of files) await unlink(join(path, file));
      await rmdir(path);
    }
    return true;
  } catch {
    return false;
  }
}
