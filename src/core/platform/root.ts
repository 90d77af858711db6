/** Addresses of Pith's own modules. Imported as "#root" and never bundled, because a bundled module's address does not locate the others. */

export function root(): URL {
  return new URL("../../", import.meta.url);
}

export function moduleExtension(): ".ts" | ".js" {
  return import.meta.url.endsWith(".ts") ? ".ts" : ".js";
}

/** Returns a module by its path below the root, without extension. @example moduleOf("app/cli/jobs/inspect") */
export function moduleOf(path: string): URL {
  return new URL(path + moduleExtension(), root());
}
