/** Imports modules of users, and limits which modules this process can import. */
import { realpathSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type ErrorCode, errorMessage, fileError, optionError, PithError, stripPeriod } from "../errors.ts";

let permittedPaths: Set<string> | undefined;

/** Limits the modules that this process can import to those of all calls: `importModule` then rejects others. */
export function permitModules(paths: readonly string[]): void {
  permittedPaths ??= new Set();
  for (const path of paths) permittedPaths.add(withoutLinks(path));
}

/** Returns the absolute paths of `permitModules`; undefined if this process can import any module. */
export const permittedModules = (): readonly string[] | undefined => permittedPaths && [...permittedPaths];

function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

/** Imports a user's module. @throws PithError E_FILE if it does not exist; `code` if its import fails; E_OPTION if `permitModules` excludes it. */
export async function importModule(path: string, code: ErrorCode): Promise<Readonly<Record<string, unknown>>> {
  const absolutePath = resolve(path);
  if (permittedPaths?.has(withoutLinks(absolutePath)) === false)
    throw optionError(`"${path}" is code that the command line does not name.`, {
      hint: `Code runs with your rights. If you trust it: \`modules: "${path}"\``,
    });
  const stats = await stat(absolutePath).catch(() => undefined);
  if (stats?.isFile() !== true) {
    const hint = absolutePath === path ? undefined : `It was looked for as ${absolutePath}.`;
    throw fileError(`"${path}" does not exist.`, { hint });
  }
  try {
    return (await import(pathToFileURL(absolutePath).href)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    const hint = /\.m?ts$/.test(path)
      ? "Node before 22.18 does not run TypeScript: compile the module, or start Pith through tsx."
      : undefined;
    throw new PithError(code, `${path} cannot be imported: ${stripPeriod(errorMessage(cause))}.`, { cause, hint });
  }
}
