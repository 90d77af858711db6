/**
 * The folder in which a command keeps the steps that it has done. It lasts: a run that was stopped or failed is continued from there, and one with another goal
 * begins with what is done.
 */
import { rmdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { PithError } from "../errors.ts";
import { bytes } from "../evaluate/numbers.ts";
import { storedBytes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { option } from "../passes/options.ts";
import { claimFolder, makeFolder } from "../platform/node.ts";
import { folderBytes, trimFolder } from "../platform/node-bounded.ts";
import { temporaryOf } from "../platform/node-leftovers.ts";
import { isThere } from "./files.ts";
import type { Terminal } from "./terminal.ts";

/** A name that no user's folder has: what is in it is removed. */
const folderName = "pith-steps";

export const freshFlag = {
  fresh: option(v.boolean(), "begin anew: remove the steps that earlier runs have kept in the folder"),
};

/** Bytes that are kept of a model's steps: those of some hundred combinations of a small one, and of twenty large ones. */
export const mostKept = (model: Model): number => Math.max(2e9, 20 * storedBytes(model.graph));

/**
 * Does the work with such a folder inside the folder of the results, which need not be there yet. Where nothing is kept in the end, it goes.
 * @param fresh whether what earlier runs have kept is removed first.
 * @throws PithError of the work, whose hint names the folder where something is kept in it; E_FILE where another process works in it: the results
 * of two, of which each replaces some files, would not fit each other.
 */
export async function withSteps<T>(
  out: string,
  { fresh = false, terminal }: { readonly fresh: boolean | undefined; readonly terminal: Terminal },
  work: (folder: string) => Promise<T>,
): Promise<T> {
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
    if (fresh) await trimFolder(folder, 0, new Set());
    const before = await stepsIn(folder);
    try {
      const result = await work(folder);
      const kept = await folderBytes(folder);
      if (kept > 0) terminal.note("steps", `steps kept: ${bytes(kept)} in ${folder}; --fresh begins anew`);
      return result;
    } catch (error) {
      const kept = await stepsIn(folder);
      // A step that is done, or its training, always is worth it; what the original was measured to be only where the run was stopped.
      const isStep = (name: string): boolean => !name.endsWith(".json") && !before.includes(name);
      const isWorthIt = error instanceof PithError && kept.some((name) => error.code === "E_STOPPED" || isStep(name));
      if (isWorthIt) throw continued(error, folder);
      if (before.length === 0) await trimFolder(folder, 0, new Set());
      throw error;
    }
  } finally {
    release();
    process.off("exit", sweep);
    sweep();
  }
}

/** Of all runs, without what a killed process was writing. */
async function stepsIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => temporaryOf(name) === undefined);
}

function continued({ code, message, cause }: PithError, folder: string): PithError {
  const hint = `Completed work is kept in ${folder}: the same command continues from there.`;
  return new PithError(code, message, { hint, cause });
}
