/** The user's modules in jobs for workers. A job names a module by file name and content hash; a worker uses only its own copy of it. */
import { basename, resolve } from "node:path";
import { readFile } from "#platform";
import { PithError } from "../../../core/errors.ts";
import { sha256Text } from "../../../core/files/hash.ts";

export type Rename = (module: string) => Promise<string>;

/** Resolves the path as an import does: "rows.mjs/." is "rows.mjs". */
export const isCode = (path: string): boolean => /\.[cm]?[jt]s$/i.test(resolve(path));

/** "modules/e3b0c442…/rows.mjs". @throws PithError E_FILE */
export async function nameInJobs(path: string): Promise<string> {
  return `modules/${await sha256Text([await readFile(path)])}/${basename(path)}`;
}

/** Looks up modules by their names in jobs. @throws PithError E_FILE; the returned function E_OPTION for an unknown module. */
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
