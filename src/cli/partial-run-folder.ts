/** A folder in which a command keeps finished steps until the whole is done, so that a run that was stopped or failed is continued. */
import { rmdirSync } from "node:fs";
import { readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { PithError } from "../errors.ts";
import { claimFolder, makeFolder } from "../platform/node.ts";
import { isClaim } from "../platform/node-claim.ts";
import { temporaryOf } from "../platform/node-leftovers.ts";
import { isThere } from "./files.ts";

/** A name that no user's folder has: the folder is removed in the end. */
const folderName = "pith-unfinished";

/**
 * Does the work with such a folder inside the folder of the results, which need not be there yet. It goes when the work is done.
 * @throws PithError of the work, whose hint names the folder where something is kept in it; E_FILE where another process works in it: the results
 * of two, of which each replaces some files, would not fit each other.
 */
export async function withPartialRun<T>(out: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(out, folderName);
  const isOurs = !(await isThere(out)) || (await isThere(folder));
  await makeFolder(folder);
  const release = await claimFolder(folder, out);
  const sweep = (): void => {
    try {
      rmdirSync(folder);
      if (isOurs) rmdirSync(out);
    } catch {
      // Something is kept in it.
    }
  };
  // Behind the one that ends the claim.
  process.on("exit", sweep);
  try {
    const result = await work(folder);
    await clearFolder(folder);
    return result;
  } catch (error) {
    if (error instanceof PithError && (await isWorthKeeping(folder, error))) throw continued(error, folder);
    await clearFolder(folder);
    throw error;
  } finally {
    release();
    process.off("exit", sweep);
    sweep();
  }
}

/** Removes the files in such a folder but for claims, and with the folders of checkpoints what is in them. Other contents stay. */
async function clearFolder(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isFile() && !isClaim(entry.name)) await unlink(path).catch(() => {});
    else if (entry.isDirectory()) {
      for (const file of await readdir(path).catch(() => [])) await unlink(join(path, file)).catch(() => {});
      await rmdir(path).catch(() => {});
    }
  }
}

/** A step that is done, or its training, always is; what the original was measured to be only where the run was stopped. */
async function isWorthKeeping(folder: string, { code }: PithError): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => temporaryOf(name) === undefined && (code === "E_STOPPED" || !name.endsWith(".json")));
}

function continued({ code, message, cause }: PithError, folder: string): PithError {
  const hint = `Completed work is kept in ${folder}: the same command continues from there.`;
  return new PithError(code, message, { hint, cause });
}
