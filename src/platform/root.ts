/**
 * Addresses of Pith's own modules. Imported as "#root" and never bundled with what asks: the address of a bundled module says nothing of where the
 * others lie.
 */

/** The folder of all modules: of the sources, or of what is shipped. */
export const root = new URL("../", import.meta.url);

/** How modules end there. */
export const moduleExtension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

/** A module by its path below the folder, without the extension. @example moduleOf("cli/jobs/inspect") */
export function moduleOf(path: string): URL {
  return new URL(path + moduleExtension, root);
}
