/**
 * The address of a module beside this one, named without its extension: `.ts` when running from source, `.js` when compiled.
 *
 * @example const entry = moduleBeside(import.meta.url, "./jobs/inspect");
 */
export function moduleBeside(here: string, path: string): URL {
  return new URL(`${path}${here.endsWith(".ts") ? ".ts" : ".js"}`, here);
}
