import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isThere } from "../files.ts";

/** Makes a folder that is whole, or not there. Of several processes that make the same one is first. @param fill is given a folder beside it. */
export async function wholeFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
  if (await isThere(target)) return;
  await mkdir(dirname(target), { recursive: true });
  const unfinished = await mkdtemp(`${target}.`);
  try {
    await fill(unfinished);
    await rename(unfinished, target).catch(async (error: unknown) => {
      if (!(await isThere(target))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
