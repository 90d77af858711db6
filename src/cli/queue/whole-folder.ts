import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isThere } from "../files.ts";

/**
 * Makes a folder under its name only when it is complete. Where several processes make the same folder, the first one to finish wins.
 * @param fill writes the files into the folder that it is given, which then gets the name.
 */
export async function wholeFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
  if (await isThere(target)) return;
  await mkdir(dirname(target), { recursive: true });
  const unfinished = await mkdtemp(`${target}.`);
  try {
    await fill(unfinished);
    // Workers of other users read it, where they may read the folder above.
    await chmod(unfinished, 0o755);
    await rename(unfinished, target).catch(async (error: unknown) => {
      if (!(await isThere(target))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
