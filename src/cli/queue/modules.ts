/**
 * Modules of the user in jobs for workers: data sets, and rounders, criteria or curves in recipes. No store holds code: a job says which module by the hash of its content, and
 * a worker that was started with a file of that content, and of that name, takes it. Models that are trained on a part of some data record the name of its file.
 */
import { basename, resolve } from "node:path";
import { readFile } from "#platform";
import { sha256Text } from "../../data/hash.ts";
import { PithError } from "../../errors.ts";

/** What stands in a job for a module, or on this machine for what stands in a job. */
export type Rename = (module: string) => Promise<string>;

/** Decides by the path that an import would open: "rows.mjs/." is "rows.mjs". */
export const isCode = (path: string): boolean => /\.[cm]?[jt]s$/i.test(resolve(path));

/** "modules/e3b0c442…/rows.mjs". @throws PithError E_FILE */
export async function nameInJobs(path: string): Promise<string> {
  return `modules/${await sha256Text([await readFile(path)])}/${basename(path)}`;
}

/** Finds these modules by their names in jobs. @throws PithError E_FILE; what it returns E_OPTION for a module that is none of them. */
export async function foundAmong(paths: readonly string[]): Promise<Rename> {
  const found = new Map(await Promise.all(paths.map(async (path) => [await nameInJobs(path), resolve(path)] as const)));
  return async (name) => {
    const path = found.get(name);
    if (path !== undefined) return path;
    throw new PithError(
      "E_OPTION",
      `"${name}" is code that this worker was not started with: --modules ${basename(name)}.`,
      { hint: "Name and content (SHA-256) have to be those of the file where the command runs." },
    );
  };
}
