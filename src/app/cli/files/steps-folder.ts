/** Manages the folder `pith-steps`, in which a command saves finished steps, so that a later run can reuse them. */
import { rmdirSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { bytes, fileError, type Model, PithError, storedBytes } from "#ir";
import { option } from "#pass";
import { claimFolder, makeFolder } from "../../../core/platform/node.ts";
import { folderBytes, trimFolder } from "../../../core/platform/node-cache-folders.ts";
import { temporaryOf } from "../../../core/platform/node-leftovers.ts";
import { isStoreName } from "../../../judge/steps/keys.ts";
import type { Terminal } from "../print/terminal.ts";
import { exists } from "./file-paths.ts";

const folderName = "pith-steps";

export const freshFlag = { fresh: option(v.boolean(), "start again: remove steps kept from earlier runs") };

/** Returns the maximum bytes of saved steps. */
export const maxKeptBytes = (model: Model): number => Math.max(2e9, 20 * storedBytes(model.graph));

/** Runs `work` with the folder, which is created, and removed if it is then empty. @throws PithError of the work, with a hint; E_FILE. */
export async function withStepsFolder<T>(
  out: string,
  { fresh = false, terminal }: { readonly fresh: boolean | undefined; readonly terminal: Terminal },
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(out, folderName);
  const isCreatedHere = !(await exists(out)) || (await exists(folder));
  if ((await lstat(folder).catch(() => undefined))?.isSymbolicLink() === true)
    throw fileError(`"${folder}" is a symbolic link. Pith keeps and removes steps only in a folder that it made.`, {
      hint: "Remove the link, or name another folder with -o.",
    });
  await makeFolder(folder);
  const release = await claimFolder(folder, out);
  const removeEmptyFolders = (): void => {
    try {
      rmdirSync(folder);
      if (isCreatedHere) rmdirSync(out);
    } catch {
      // A folder that is not empty remains.
    }
  };
  // Exit listeners run in order of registration, so the claim on the folder is released first.
  process.on("exit", removeEmptyFolders);
  try {
    if (fresh) await trimFolder(folder, 0, isStoreName);
    const earlierSteps = await listSteps(folder);
    try {
      const result = await work(folder);
      const keptBytes = await folderBytes(folder, isStoreName);
      if (keptBytes > 0)
        terminal.note(
          "steps",
          `finished steps (${bytes(keptBytes)}) are kept in ${folder}: the same command reuses them, unless --fresh is given`,
        );
      return result;
    } catch (error) {
      const keptSteps = await listSteps(folder);
      // Records other than steps, such as metrics of the original, are kept only after a stop or next to earlier steps.
      const isStep = (name: string): boolean => !name.endsWith(".json") && !earlierSteps.includes(name);
      const isWorthKeeping =
        error instanceof PithError && keptSteps.some((name) => error.code === "E_STOPPED" || isStep(name));
      if (isWorthKeeping) throw withResumeHint(error, folder);
      if (earlierSteps.length === 0) await trimFolder(folder, 0, isStoreName);
      throw error;
    }
  } finally {
    release();
    process.off("exit", removeEmptyFolders);
    removeEmptyFolders();
  }
}

export function withStepsFolders<T>(
  [out, ...otherOuts]: readonly string[],
  settings: Parameters<typeof withStepsFolder>[1],
  work: (folders: readonly string[]) => Promise<T>,
): Promise<T> {
  if (out === undefined) return work([]);
  return withStepsFolder(out, settings, (folder) =>
    withStepsFolders(otherOuts, settings, (otherFolders) => work([folder, ...otherFolders])),
  );
}

async function listSteps(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => temporaryOf(name) === undefined);
}

function withResumeHint(error: PithError, folder: string): PithError {
  // The advice of a stopped step concerns only that step, not the command.
  const advice = error.code === "E_STOPPED" ? [] : error.advice;
  const hint = [...advice, `Completed work is kept in ${folder}: the same command continues from there.`];
  return error.reworded({ hint });
}
