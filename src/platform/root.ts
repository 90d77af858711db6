/**
 * Addresses of Pith's own modules. Imported as "#root" and never bundled with what asks: the address of a bundled module says nothing of where the
 * others lie. Nothing is computed on import, since in some bundles modules have no address.
 */

/** The folder of all modules: of the sources, or of what is shipped. */
export function root(): URL {
  return new URL("../", import.meta.url);
}

/** How modules end there. */
export function moduleExtension(): ".ts" | ".js" {
  return import.meta.url.endsWith(".ts") ? ".ts" : ".js";
}

/** A module by its path below the folder, without the extension. @example moduleOf("cli/jobs/inspect") */
export function moduleOf(path: string): URL {
  return new URL(path + moduleExtension(), root());
}
