/**
 * Folders of bounded size, least recently used first. An entry is a file, or a folder of files that belong together. The access time tells when it was used;
 * the modification time stays, because a reader takes an open file for another one when that changes.
 */
import { readdir, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { isClaim } from "./node-claim.ts";
import { isLeftBehind, temporaryOf } from "./node-leftovers.ts";

interface Entry {
  readonly name: string;
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

/** Of everything in a folder but claims. */
export async function folderBytes(folder: string): Promise<number> {
  return (await entriesOf(folder)).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Removes temporary files that dead processes have left, what is empty, and then what was used longest ago until no more than so many bytes are left.
 * To be called while nobody reads in the folder.
 * @param needed names of entries that stay.
 * @returns the names of those that were removed.
 */
export async function trimFolder(
  folder: string,
  most: number,
  needed: ReadonlySet<string>,
): Promise<readonly string[]> {
  for (const name of await namesIn(folder)) {
    const temporary = temporaryOf(name);
    if (temporary !== undefined && (await isLeftBehind(join(folder, name), temporary.ending)))
      await remove(join(folder, name));
  }
  const entries = await entriesOf(folder);
  let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const removed: string[] = [];
  for (const entry of entries.toSorted((a, b) => a.used - b.used)) {
    if (bytes <= most && entry.bytes > 0) continue;
    const isInUse = needed.has(entry.name) || temporaryOf(entry.name) !== undefined;
    if (isInUse || !(await remove(join(folder, entry.name)))) continue;
    bytes -= entry.bytes;
    removed.push(entry.name);
  }
  return removed;
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

async function entriesOf(folder: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const name of await namesIn(folder)) {
    const entry = isClaim(name) ? undefined : await entryAt(folder, name);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

async function entryAt(folder: string, name: string): Promise<Entry | undefined> {
  const path = join(folder, name);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isDirectory()) return { name, bytes: found.size, used: Math.max(found.atimeMs, found.mtimeMs) };
  const files = await Promise.all((await namesIn(path)).map((file) => stat(join(path, file)).catch(() => undefined)));
  const bytes = files.reduce((sum, file) => sum + (file?.size ?? 0), 0);
  return { name, bytes, used: Math.max(0, ...files.map((file) => file?.mtimeMs ?? 0)) };
}

/** A file, or a folder of files. @returns whether it is gone. */
async function remove(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) {
      for (const file of await namesIn(path)) await unlink(join(path, file));
      await rmdir(path);
    } else await unlink(path);
    return true;
  } catch {
    return false;
  }
}
