/**
 * Limits the size of cache folders by removing the least recently used entries. The access time counts, because
 * readers treat a new modification time as a changed file.
 */
import { lstat, readdir, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { isLeftBehind, temporaryOf } from "./node-leftovers.ts";

interface Entry {
  readonly name: string;
  /** The files of a folder entry that the caller made; undefined for an entry that is a file. */
  readonly files: readonly string[] | undefined;
  readonly bytes: number;
  /** The time of the last use in milliseconds. */
  readonly used: number;
}

/** Marks a file as used. Its modification time is rounded to seconds, because only full seconds can be restored exactly. */
export async function touchFile(path: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(path);
    await utimes(path, Date.now() / 1000, Math.floor(mtimeMs / 1000));
  } catch {
    // A missing or foreign file is not marked.
  }
}

export async function folderBytes(folder: string, isOwn: (path: string) => boolean): Promise<number> {
  return (await entriesOf(folder, isOwn)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Removes temporary files of dead processes, empty folders, and then the least recently used entries until the folder is within the size limit. No
 * process may read the folder during the call. Symbolic links and other files are kept.
 * @param isOwn Tells by relative path whether the caller made an entry, or a file in a folder entry.
 * @param needed The names of entries that are kept.
 * @returns The names of removed entries.
 */
export async function trimFolder(
  folder: string,
  maxBytes: number,
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
    if (bytes <= maxBytes && entry.bytes > 0) continue;
    if (needed.has(entry.name) || !(await remove(folder, entry))) continue;
    bytes -= entry.bytes;
    removed.push(entry.name);
  }
  return removed;
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

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
    const stats = await lstat(join(path, file)).catch(() => undefined);
    if (stats?.isFile() !== true) continue;
    files.push(file);
    bytes += stats.size;
    used = Math.max(used, stats.mtimeMs);
  }
  return { name, files, bytes, used };
}

/** Removes an entry and returns whether this succeeded. A folder that contains other files is kept. */
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
