import { createRequire } from "node:module";
import { join } from "node:path";

/** Returns the main file of a package that code in a folder imports. */
export function resolvePackage(folder: string, name: string): string | undefined {
  try {
    return createRequire(join(folder, "_")).resolve(name);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
