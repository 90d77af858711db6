/**
 * Folders that one process at a time works on.
 *
 * A process that wants a folder puts an empty file into it, whose name says whose it is, and then looks for those of others: the first one has the
 * folder. What killed processes left does not count, and is removed.
 */
import { rmSync } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PithError } from "../errors.ts";
import { failure } from "./node-failure.ts";
import { besideOf, removeLeftovers, temporaryOf } from "./node-leftovers.ts";

/**
 * Takes a folder, which is there, until the result is called, or the process ends.
 * @param shown the folder that a user named.
 * @throws PithError E_FILE where another process has it, or this one already, or nothing can be written into it.
 */
export async function claimFolder(folder: string, shown = folder): Promise<() => void> {
  const name = join(folder, "run.claim");
  await removeLeftovers(name);
  const own = besideOf(name);
  const release = (): void => {
    process.off("exit", release);
    rmSync(own, { force: true });
  };
  process.on("exit", release);
  try {
    const handle = await open(own, "wx");
    await handle.close();
    if (await isFirst(own, name)) return release;
  } catch (cause) {
    release();
    throw failure(`"${shown}" cannot be written`, cause);
  }
  release();
  throw new PithError("E_FILE", `Another run is writing into "${shown}".`, {
    hint: "Wait until it has ended, or name another folder with -o.",
  });
}

/** Of two at the same moment, the one whose name comes first. */
async function isFirst(own: string, name: string): Promise<boolean> {
  const folder = dirname(name);
  const since = async (file: string): Promise<bigint | undefined> =>
    (await stat(file, { bigint: true }).catch(() => undefined))?.mtimeNs;
  const began = await since(own);
  for (const file of await readdir(folder)) {
    const other = join(folder, file);
    if (other === own || temporaryOf(file)?.name !== basename(name)) continue;
    const otherBegan = await since(other);
    // It has been released since.
    if (otherBegan === undefined || began === undefined) continue;
    if (otherBegan < began || (otherBegan === began && other < own)) return false;
  }
  return true;
}
