/**
 * Locates Pith's own modules. This module is imported as "#root" and never bundled, because the URL of a bundle does not locate the other modules.
 */

export function root(): URL {
  return new URL("../../", import.meta.url);
}

export function moduleExtension(): ".ts" | ".js" {
  return import.meta.url.endsWith(".ts") ? ".ts" : ".js";
}

/**
 * Returns the URL of a module.
 * @param path The path below the root, without extension.
 * @example
 * moduleOf("app/cli/jobs/inspect")
 */
export function moduleOf(path: string): URL {
  return new URL(path + moduleExtension(), root());
}
