/** Locates modules for other processes and threads, and the loader that reads them as TypeScript. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** In the repository, tsx teaches Node 20 to read TypeScript; under this condition imports lead to the sources. */
export const sourceCondition = "--conditions=pith-source";

export function loaderOfSources(module = "loader.mjs"): string {
  return new URL(module, pathToFileURL(createRequire(import.meta.url).resolve("tsx"))).href;
}
