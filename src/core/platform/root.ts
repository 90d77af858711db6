/**
 * Locates Pith's modules, for threads and processes that load them by URL. This module is imported as "#root" and never bundled, because other
 * modules cannot be found relative to the URL of a bundle.
 */

export function root(): URL {
  return new URL("../../", import.meta.url);
}

export function moduleExtension(): ".ts" | ".js" {
  return import.meta.url.endsWith(".ts") ? ".ts" : ".js";
}

/** Returns the URL of a module by its path below the root, without extension: `moduleOf("app/cli/processes/inspect")`. */
export function moduleOf(path: string): URL {
  return new URL(path + moduleExtension(), root());
}
