/** Removes temporary files of killed processes. Their names contain host and process: `.model.onnx.<host>-<process>.<random>.tmp`. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync, type Stats } from "node:fs";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

const dayMs = 24 * 60 * 60 * 1000;
/** The assumed maximum difference in milliseconds between the clocks of file systems and processes. */
const clockSlack = 2000;

/** A hash that identifies the host on which this process's id is valid. */
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

/** Returns a new suffix for file names: host, process and random digits. */
export function processSuffix(): string {
  return `${ownerPrefix()}${randomBytes(6).toString("hex")}`;
}

function ownerPrefix(owner = process.pid): string {
  return `${hostId}-${owner}.`;
}

export function temporaryPathFor(path: string): string {
  return join(dirname(path), `.${basename(path)}.${processSuffix()}.tmp`);
}

/** Splits the name of a temporary file into the name of the final file and the suffix (`processSuffix`); undefined for other files. */
export function temporaryOf(file: string): { readonly name: string; readonly ending: string } | undefined {
  const [, name, ending] = temporaryPattern.exec(file) ?? [];
  return name === undefined || ending === undefined ? undefined : { name, ending };
}

/** Removes temporary files that killed processes left while they wrote the file at a path. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const files: readonly string[] = await readdir(folder).catch(() => []);
  for (const file of files) {
    const temporary = temporaryOf(file);
    if (temporary?.name !== basename(path)) continue;
    // Failures are ignored, because they do not prevent writing.
    if (await isAbandoned(join(folder, file), temporary.ending))
      await rm(join(folder, file), { force: true }).catch(() => {});
  }
}

/** Returns whether the process of a file has ended. On another host, a day without changes counts as the end. */
export async function isAbandoned(path: string, ending: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return false;
  return belongsToDeadProcess(stats, ending) ?? Date.now() - stats.mtimeMs > dayMs;
}

/** Returns whether a process of this host made the suffix of a file (`processSuffix`). */
export const hasOwner = (ending: string, owner: number): boolean => ending.startsWith(ownerPrefix(owner));

/** Returns whether a file belongs to a dead process; undefined if the process is on another host. */
function belongsToDeadProcess({ mtimeMs }: Stats, ending: string): boolean | undefined {
  const [, host, owner] = ownerPattern.exec(ending) ?? [];
  if (host !== hostId) return undefined;
  // A dead process can have had the id of this process: in a container, every start of a program can have the same id.
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
    if (belongsToDeadProcess(stats, name.slice(prefix.length)) === true)
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

/** Returns whether a process has ended although its id still exists, because its parent has not waited for it. */
function isZombie(owner: number): boolean {
  try {
    // The process name precedes the state in parentheses and can contain any characters.
    return /^\) [ZX]/.test(readFileSync(`/proc/${owner}/stat`, "latin1").replace(/^.*(?=\) )/s, ""));
  } catch {
    return false;
  }
}
