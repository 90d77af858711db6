/** Locks folders for one process at a time: each creates an empty file named after itself, and the oldest file of a living process wins. */
import { rmSync } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PithError } from "../errors.ts";
import { failure } from "./node-failure.ts";
import { besideOf, removeLeftovers, temporaryOf } from "./node-leftovers.ts";

/**
 * Locks an existing folder until the returned function is called, or the process ends.
 * @param shown The folder name for messages.
 * @throws PithError E_FILE if another process or this one has locked it, or it is not writable.
 */
export async function claimFolder(folder: string, shown = folder): Promise<() => void> {
  const name = join(folder, "run.claim");
  await removeLeftovers(name);
  const claim = besideOf(name);
  const release = (): void => {
    process.off("exit", release);
    rmSync(claim, { force: true });
  };
  process.on("exit", release);
  try {
    const handle = await open(claim, "wx");
    await handle.close();
    if (await isFirst(claim, name)) return release;
  } catch (cause) {
    release();
    throw failure(`"${shown}" cannot be written`, cause);
  }
  release();
  throw new PithError("E_FILE", `Another run is writing into "${shown}".`, {
    hint: "Wait until it has ended, or name another folder with -o.",
  });
}

/** Breaks ties between files of equal age by name. */
async function isFirst(claim: string, name: string): Promise<boolean> {
  const folder = dirname(name);
  const since = async (file: string): Promise<bigint | undefined> =>
    (await stat(file, { bigint: true }).catch(() => undefined))?.mtimeNs;
  const began = await since(claim);
  for (const file of await readdir(folder)) {
    const other = join(folder, file);
    if (other === claim || temporaryOf(file)?.name !== basename(name)) continue;
    const otherBegan = await since(other);
    // It has been released since.
    if (otherBegan === undefined || began === undefined) continue;
    if (otherBegan < began || (otherBegan === began && other < claim)) return false;
  }
  return true;
}
