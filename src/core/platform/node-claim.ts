/** Locks folders for one writing process: each process creates an empty file named after itself, and the oldest file holds the lock. */
import { rmSync } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileError } from "../errors.ts";
import { asFileError } from "./node-file-errors.ts";
import { removeLeftovers, temporaryOf, temporaryPathFor } from "./node-leftovers.ts";

/** Locks an existing folder until the result is called or the process ends. @throws PithError E_FILE if it is locked already, or not writable. */
export async function claimFolder(folder: string, shownPath = folder): Promise<() => void> {
  const name = join(folder, "run.claim");
  await removeLeftovers(name);
  const claim = temporaryPathFor(name);
  const release = (): void => {
    process.off("exit", release);
    rmSync(claim, { force: true });
  };
  process.on("exit", release);
  try {
    const handle = await open(claim, "wx");
    await handle.close();
    if (await isOldestClaim(claim, name)) return release;
  } catch (cause) {
    release();
    throw asFileError(`"${shownPath}" cannot be written`, cause);
  }
  release();
  throw fileError(`Another run is writing into "${shownPath}".`, {
    hint: "Wait until it has ended, or name another folder with -o.",
  });
}

async function isOldestClaim(claim: string, name: string): Promise<boolean> {
  const folder = dirname(name);
  const claimTime = async (file: string): Promise<bigint | undefined> =>
    (await stat(file, { bigint: true }).catch(() => undefined))?.mtimeNs;
  const beginTime = await claimTime(claim);
  for (const file of await readdir(folder)) {
    const otherClaim = join(folder, file);
    if (otherClaim === claim || temporaryOf(file)?.name !== basename(name)) continue;
    const otherBeginTime = await claimTime(otherClaim);
    // Ignores a claim that was released in the meantime.
    if (otherBeginTime === undefined || beginTime === undefined) continue;
    if (otherBeginTime < beginTime || (otherBeginTime === beginTime && otherClaim < claim)) return false;
  }
  return true;
}
