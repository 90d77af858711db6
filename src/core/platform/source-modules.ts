/** Locates the loader that lets other processes and threads read modules as TypeScript. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** The Node option under which imports resolve to the TypeScript sources, which tsx loads in the repository. */
export const sourceCondition = "--conditions=pith-source";

export function loaderOfSources(module = "loader.mjs"): string {
  return new URL(module, pathToFileURL(createRequire(import.meta.url).resolve("tsx"))).href;
}
