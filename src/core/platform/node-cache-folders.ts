/** Limits the size of cache folders by removing the least recently used entries, by the access times of files. */
import { lstat, readdir, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, temporaryOf } from "./node-leftovers.ts";

interface Entry {
  readonly name: string;
  /** If the entry is a folder: the names of the files in it that the caller made. Undefined if the entry is a file. */
  readonly files: readonly string[] | undefined;
  readonly bytes: number;
  readonly lastUseMs: number;
}

/** Marks a file as used now. Also rounds its modification time down to seconds, because only full seconds can be set again exactly. */
export async function touchFile(path: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(path);
    await utimes(path, Date.now() / 1000, Math.floor(mtimeMs / 1000));
  } catch {
    // A file that is missing or belongs to another user is not marked.
  }
}

export async function folderBytes(folder: string, isOwn: (path: string) => boolean): Promise<number> {
  return (await entriesOf(folder, isOwn)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Removes temporary files of dead processes and empty folders, then the least recently used entries until the size limit holds.
 * @param isOwn Returns whether the caller made an entry, or a file in an entry that is a folder, given the relative path.
 */
export async function trimFolder(
  folder: string,
  maxBytes: number,
  isOwn: (path: string) => boolean,
  neededNames: ReadonlySet<string> = new Set(),
): Promise<readonly string[]> {
  for (const name of await listNames(folder)) {
    const temporary = temporaryOf(name);
    if (temporary !== undefined && (await isAbandoned(join(folder, name), temporary.ending)))
      await unlink(join(folder, name)).catch(() => {});
  }
  const entries = await entriesOf(folder, isOwn);
  let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const removedNames: string[] = [];
  for (const entry of entries.toSorted((a, b) => a.lastUseMs - b.lastUseMs)) {
    if (bytes <= maxBytes && entry.bytes > 0) continue;
    if (neededNames.has(entry.name) || !(await remove(folder, entry))) continue;
    bytes -= entry.bytes;
    removedNames.push(entry.name);
  }
  return removedNames;
}

const listNames = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

async function entriesOf(folder: string, isOwn: (path: string) => boolean): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const name of await listNames(folder)) {
    const entry = isOwn(name) ? await entryAt(folder, name, isOwn) : undefined;
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

async function entryAt(folder: string, name: string, isOwn: (path: string) => boolean): Promise<Entry | undefined> {
  const path = join(folder, name);
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isFile() === true)
    return { name, files: undefined, bytes: stats.size, lastUseMs: Math.max(stats.atimeMs, stats.mtimeMs) };
  if (stats?.isDirectory() !== true) return undefined;
  const files: string[] = [];
  let [bytes, lastUseMs] = [0, 0];
  for (const file of await listNames(path)) {
    if (!isOwn(`${name}/${file}`) && temporaryOf(file) === undefined) continue;
    const stats = await lstat(join(path, file)).catch(() => undefined);
    if (stats?.isFile() !== true) continue;
    files.push(file);
    bytes += stats.size;
    lastUseMs = Math.max(lastUseMs, stats.mtimeMs);
  }
  return { name, files, bytes, lastUseMs };
}

/** Removes an entry, but not a folder with files of others. Returns whether this succeeded. */
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
