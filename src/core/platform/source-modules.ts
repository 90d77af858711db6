/** Locates tsx, the loader with which processes and threads run the TypeScript sources in the repository. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** The Node option under which imports resolve to the TypeScript sources, which tsx loads in the repository. */
export const sourceCondition = "--conditions=pith-source";

export function loaderOfSources(module = "loader.mjs"): string {
  return new URL(module, pathToFileURL(createRequire(import.meta.url).resolve("tsx"))).href;
}
