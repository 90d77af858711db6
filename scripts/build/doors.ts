/** Imports of package.json that name the modules of one part of the sources. The build replaces them, so the package has none. */
import { join } from "node:path";

const modules = {
  "#graph": "core/graph/index",
  "#ir": "core/ir/index",
  "#analysis": "core/analysis/index",
  "#pass": "core/pass/index",
  "#batches": "data/batches/index",
} as const;

export const doorModules: readonly string[] = Object.values(modules);

/** The module that only the studio imports: drawings, texts and views that it shares with reports. */
export const studioDoor = "app/report/index";

/** Returns the file of each door. */
export function doors(folder: string, extension: ".ts" | ".d.ts"): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(modules).map(([name, path]) => [name, join(folder, path + extension)]));
}

export const isDoor = (name: string): boolean => name in modules;
