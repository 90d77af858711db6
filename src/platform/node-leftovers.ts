/**
 * What processes that were killed have left behind.
 *
 * A temporary file says in its name who writes it: `.model.onnx.<where>-<process>.<random>.tmp`. So the next one who writes `model.onnx` can
 * tell what a killed process left from what another is still writing. Numbers of processes mean something in one place only: a machine, or a
 * container of it. Files from elsewhere count as left behind once they have not been touched for a day.
 *
 * Folders for temporary files are called `pith-<where>-<process>.<random>`, and the next command removes those of dead processes. From elsewhere none
 * is removed: a folder in use may lie untouched for days.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { readFileSync, readlinkSync } from "node:fs";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

const day = 24 * 60 * 60 * 1000;
/** Clocks of file systems and of processes differ a little. */
const clockSlack = 2000;

/** Where process numbers are those that this process sees. */
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

/** A name's ending that no other file has, and that says who made it. */
export function ownedEnding(): string {
  return `${owned()}${randomBytes(6).toString("hex")}`;
}

function owned(): string {
  return `${where}-${process.pid}.`;
}

/** The path of a temporary file beside the one that it is to become. */
export function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${ownedEnding()}.tmp`);
}

/** The name that a temporary file is to have in the end, and whose it is; undefined for other files. */
export function temporaryOf(file: string): { readonly name: string; readonly ending: string } | undefined {
  const [, name, ending] = temporaryPattern.exec(file) ?? [];
  return name === undefined || ending === undefined ? undefined : { name, ending };
}

/** Removes the temporary files that killed processes have left beside a file that they wrote. Links are not followed. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const files: readonly string[] = await readdir(folder).catch(() => []);
  for (const file of files) {
    const temporary = temporaryOf(file);
    if (temporary?.name !== basename(path)) continue;
    // What cannot be removed is no reason not to write.
    if (await isLeftBehind(join(folder, file), temporary.ending))
      await rm(join(folder, file), { force: true }).catch(() => {});
  }
}

/** Whether the process that made a file with such an ending (`ownedEnding`) is gone. */
export async function isLeftBehind(path: string, ending: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return false;
  return isOfDead(found, ending) ?? Date.now() - found.mtimeMs > day;
}

/** Undefined of what was not made here. */
function isOfDead({ mtimeMs }: Stats, ending: string): boolean | undefined {
  const [, place, owner] = ownerPattern.exec(ending) ?? [];
  if (place !== where) return undefined;
  // Numbers come again: in a container each start of a program may have the same one.
  if (Number(owner) === process.pid) return mtimeMs < Date.now() - process.uptime() * 1000 - clockSlack;
  return !isAlive(Number(owner));
}

const prefix = "pith-";

/** How the name of a folder for temporary files begins, or of a file among these; the rest is random. */
export function temporaryPrefix(): string {
  return `${prefix}${owned()}`;
}

/** Removes what dead processes of the same user have left of such names. */
export async function removeDeadTemporaries(folder: string): Promise<void> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    // A link is none of ours, wherever it leads.
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined || found.isSymbolicLink()) continue;
    // Where a machine has users, root may remove what is of others.
    if (process.getuid !== undefined && found.uid !== process.getuid()) continue;
    if (isOfDead(found, name.slice(prefix.length)) === true)
      await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

function isAlive(owner: number): boolean {
  try {
    // Signal 0 is not sent; only whether it could be is answered.
    process.kill(owner, 0);
    return !isZombie(owner);
  } catch (error) {
    // A process of another user is there all the same.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** On Linux, whether a process has ended and is only listed until its parent asks how: in containers that may be never. */
function isZombie(owner: number): boolean {
  try {
    // The name before it, in brackets, may hold anything.
    return /^\) [ZX]/.test(readFileSync(`/proc/${owner}/stat`, "latin1").replace(/^.*(?=\) )/s, ""));
  } catch {
    return false;
  }
}
