/**
 * Removes the temporary files and folders of killed processes.
 * Temporary files name their writer: `.model.onnx.<where>-<process>.<random>.tmp`. Process ids are valid only in one place: a machine or container.
 * Files from elsewhere count as left behind after a day without changes. Folders, `pith-<where>-<process>.<random>`, can be in use for days without
 * changes, so only those of dead processes of this place are removed.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { readFileSync, readlinkSync } from "node:fs";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

const day = 24 * 60 * 60 * 1000;
/** Clocks of file systems and processes differ slightly. */
const clockSlack = 2000;

/** Identifies the place in which this process's ids are valid. */
const where = createHash("sha256").update(`${hostname()} ${processNamespace()}`).digest("hex").slice(0, 8);

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

const ownerPattern = /^([0-9a-f]{8})-(\d+)\.[0-9a-zA-Z]+$/;
const temporaryPattern = /^\.(.+?)\.([0-9a-f]{8}-\d+\.[0-9a-f]{12})\.tmp$/s;

export function ownedEnding(): string {
  return `${owned()}${randomBytes(6).toString("hex")}`;
}

function owned(): string {
  return `${where}-${process.pid}.`;
}

export function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${ownedEnding()}.tmp`);
}

/** Returns a temporary file's final name and suffix; undefined for other files. */
export function temporaryOf(file: string): { readonly name: string; readonly ending: string } | undefined {
  const [, name, ending] = temporaryPattern.exec(file) ?? [];
  return name === undefined || ending === undefined ? undefined : { name, ending };
}

/** Removes temporary files that killed processes left beside a file. Links are not followed. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const files: readonly string[] = await readdir(folder).catch(() => []);
  for (const file of files) {
    const temporary = temporaryOf(file);
    if (temporary?.name !== basename(path)) continue;
    // Failures are ignored: they do not prevent writing.
    if (await isLeftBehind(join(folder, file), temporary.ending))
      await rm(join(folder, file), { force: true }).catch(() => {});
  }
}

/** Returns whether the process that made a file with this suffix (`ownedEnding`) has ended. */
export async function isLeftBehind(path: string, ending: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return false;
  return isOfDead(stats, ending) ?? Date.now() - stats.mtimeMs > day;
}

/** Returns undefined for files from other places. */
function isOfDead({ mtimeMs }: Stats, ending: string): boolean | undefined {
  const [, place, owner] = ownerPattern.exec(ending) ?? [];
  if (place !== where) return undefined;
  // Process ids repeat: in a container each start of a program can have the same one.
  if (Number(owner) === process.pid) return mtimeMs < Date.now() - process.uptime() * 1000 - clockSlack;
  return !isAlive(Number(owner));
}

const prefix = "pith-";

export function temporaryPrefix(): string {
  return `${prefix}${owned()}`;
}

export async function removeDeadTemporaries(folder: string): Promise<void> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    // Links are never created here.
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || stats.isSymbolicLink()) continue;
    // Root could remove files of other users.
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
    // A process of another user exists, too.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** On Linux, returns whether a process has ended and only waits for its parent to collect it, which containers may never do. */
function isZombie(owner: number): boolean {
  try {
    // The process name in parentheses before it can contain anything.
    return /^\) [ZX]/.test(readFileSync(`/proc/${owner}/stat`, "latin1").replace(/^.*(?=\) )/s, ""));
  } catch {
    return false;
  }
}
