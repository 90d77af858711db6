import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type ErrorCode, errorMessage, PithError, stripPeriod } from "../errors.ts";

let permittedPaths: ReadonlySet<string> | undefined;

/** Limits the modules that this process can import: `importModule` then rejects all modules that are not in `paths`. */
export function permitModules(paths: readonly string[]): void {
  permittedPaths = new Set(paths.map((path) => resolve(path)));
}

/**
 * Imports a user's ES module by its path.
 * @throws PithError E_FILE if the module does not exist; `code` if it cannot be imported; E_OPTION if `permitModules` excludes it.
 */
export async function importModule(path: string, code: ErrorCode): Promise<Readonly<Record<string, unknown>>> {
  const absolutePath = resolve(path);
  if (permittedPaths?.has(absolutePath) === false)
    throw new PithError("E_OPTION", `"${path}" is code that this worker was not started with.`, {
      hint: "Start the worker with --modules, and name your own file of this content.",
    });
  const stats = await stat(absolutePath).catch(() => undefined);
  if (stats?.isFile() !== true) {
    const hint = absolutePath === path ? undefined : `It was looked for as ${absolutePath}.`;
    throw new PithError("E_FILE", `"${path}" does not exist.`, { hint });
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
