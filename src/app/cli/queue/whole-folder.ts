import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isThere } from "../files.ts";

/** Fills a temporary folder and renames it, so that the folder is complete. The first of several processes wins. */
export async function wholeFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
  if (await isThere(target)) return;
  await mkdir(dirname(target), { recursive: true });
  const unfinished = await mkdtemp(`${target}.`);
  try {
    await fill(unfinished);
    // Workers of other users may need to read it.
    await chmod(unfinished, 0o755);
    await rename(unfinished, target).catch(async (error: unknown) => {
      if (!(await isThere(target))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
