/** A folder in which a command keeps finished steps until the whole is done, so that a run that was stopped or failed is continued. */
import { readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { PithError } from "../errors.ts";
import { isThere } from "./files.ts";

/** A name that no user's folder has: the folder is removed in the end. */
const folderName = "pith-unfinished";

/**
 * Does the work with such a folder, which need not be there yet, inside the folder of the results. It goes when the work is done.
 * @throws PithError of the work, whose hint names the folder where something is kept in it.
 */
export async function withPartialRun<T>(out: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(out, folderName);
  const isOurs = !(await isThere(out)) || (await isThere(folder));
  const clear = async (): Promise<void> => {
    await clearFolder(folder, true);
    if (isOurs) await rmdir(out).catch(() => {});
  };
  try {
    const result = await work(folder);
    await clear();
    return result;
  } catch (error) {
    if (error instanceof PithError && (await isWorthKeeping(folder, error))) throw continued(error, folder);
    await clear();
    throw error;
  }
}

/** Removes what such a folder holds: files, and one level down those of checkpoints. Other contents stay, and so do the folders around. */
async function clearFolder(folder: string, withFolders: boolean): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isFile()) await unlink(path).catch(() => {});
    else if (withFolders && entry.isDirectory()) await clearFolder(path, false);
  }
  await rmdir(folder).catch(() => {});
}

/** A step that is done, or its training, always is; what the original was measured to be only where the run was stopped. */
async function isWorthKeeping(folder: string, { code }: PithError): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => code === "E_STOPPED" || !name.endsWith(".json"));
}

function continued({ code, message, cause }: PithError, folder: string): PithError {
  const hint = `Completed work is kept in ${folder}: the same command continues from there.`;
  return new PithError(code, message, { hint, cause });
}
