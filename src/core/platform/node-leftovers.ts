/**
 * Removes the temporary files and folders of killed processes. Temporary files are named after their writer:
 * `.model.onnx.<host>-<process>.<random>.tmp`. Process ids are valid only on one host, which is a machine or container. Files from other hosts count
 * as abandoned after a day without changes. Folders, `pith-<host>-<process>.<random>`, can be in use for days without changes. They are removed only
 * if they belong to a dead process of this host.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { readFileSync, readlinkSync } from "node:fs";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

const dayMs = 24 * 60 * 60 * 1000;
/** The assumed maximum difference in milliseconds between the clocks of file systems and processes. */
const clockSlack = 2000;

/** Identifies the host on which this process's id is valid. */
const hostId = createHash("sha256").update(`${hostname()} ${processNamespace()}`).digest("hex").slice(0, 8);

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

const ownerPattern = /^([0-9a-f]{8})-(\d+)\.[0-9a-zA-Z]+$/;
const temporaryPattern = /^\.(.+?)\.([0-9a-f]{8}-\d+\.[0-9a-f]{12})\.tmp$/s;

/** Returns a suffix that identifies this process, with random digits. */
export function processSuffix(): string {
  return `${ownerPrefix()}${randomBytes(6).toString("hex")}`;
}

function ownerPrefix(): string {
  return `${hostId}-${process.pid}.`;
}

/** Returns the path of a new temporary file in the folder of a file. */
export function temporaryPathFor(path: string): string {
  return join(dirname(path), `.${basename(path)}.${processSuffix()}.tmp`);
}

/** Returns the final name and the suffix of a temporary file; undefined for other files. */
export function temporaryOf(file: string): { readonly name: string; readonly ending: string } | undefined {
  const [, name, ending] = temporaryPattern.exec(file) ?? [];
  return name === undefined || ending === undefined ? undefined : { name, ending };
}

/** Removes temporary files that killed processes left in the folder of a file. Links are not followed. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const files: readonly string[] = await readdir(folder).catch(() => []);
  for (const file of files) {
    const temporary = temporaryOf(file);
    if (temporary?.name !== basename(path)) continue;
    // Failures are ignored, because they do not prevent writing.
    if (await isLeftBehind(join(folder, file), temporary.ending))
      await rm(join(folder, file), { force: true }).catch(() => {});
  }
}

/**
 * Returns whether the process that made a file with this suffix (`processSuffix`) has ended. Files from other hosts count as abandoned after a day.
 */
export async function isLeftBehind(path: string, ending: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return false;
  return isOfDead(stats, ending) ?? Date.now() - stats.mtimeMs > dayMs;
}

/** Returns whether a file belongs to a dead process; undefined for files from other hosts. */
function isOfDead({ mtimeMs }: Stats, ending: string): boolean | undefined {
  const [, place, owner] = ownerPattern.exec(ending) ?? [];
  if (place !== hostId) return undefined;
  // Process ids are reused. In a container, each start of a program can even have the same id.
  if (Number(owner) === process.pid) return mtimeMs < Date.now() - process.uptime() * 1000 - clockSlack;
  return !isAlive(Number(owner));
}

const prefix = "pith-";

export function temporaryPrefix(): string {
  return `${prefix}${ownerPrefix()}`;
}

export async function removeDeadTemporaries(folder: string): Promise<void> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    // Pith never creates links here, so a link belongs to someone else.
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || stats.isSymbolicLink()) continue;
    // Without this check, root could remove files of other users.
    if (process.getuid !== undefined && stats.uid !== process.getuid()) continue;
    if (isOfDead(stats, name.slice(prefix.length)) === true)
      await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

function isAlive(owner: number): boolean {
  try {
    // Signal 0 only checks whether the process exists.
    process.kill(owner, 0);
    return !isZombie(owner);
  } catch (error) {
    // This code means that the process exists but belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Returns whether a process on Linux has ended but was not collected by its parent. Containers may never collect it. */
function isZombie(owner: number): boolean {
  try {
    // The process name precedes the state in parentheses and can contain any characters.
    return /^\) [ZX]/.test(readFileSync(`/proc/${owner}/stat`, "latin1").replace(/^.*(?=\) )/s, ""));
  } catch {
    return false;
  }
}
