/** Locates Pith's modules, for threads and processes that load them by URL. Imported as "#root" and not bundled, so that its URL is known. */

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
