/** Processor seconds of test files, as their last runs recorded them (`test/setup/seconds.ts`). */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Measured } from "./budgets.ts";
import type { Source } from "./sources.ts";

/** Returns where the seconds of a test file are stored. @param test path relative to the root. */
export function recordedSeconds(test: string): { readonly folder: string; readonly file: string } {
  const folder = path.join("node_modules", ".cache", "pith", "test-seconds");
  return { folder, file: path.join(folder, test.replaceAll(/[\\/]/g, "+")) };
}

/** Sums the seconds of the quick tests by folder: `test/cli`, `src/core`. Files that did not run on this machine count as 0. */
export function measureTests(sources: readonly Source[], read = readSeconds): Measured {
  const sizes: Record<string, number> = {};
  for (const { file } of sources) {
    if (!/\.test\.tsx?$/.test(file) || file.endsWith(".slow.test.ts")) continue;
    const folder = path.posix.dirname(file).split("/").slice(0, 2).join("/");
    sizes[folder] = (sizes[folder] ?? 0) + read(file);
  }
  const rounded = Object.entries(sizes).map(([folder, seconds]) => [folder, Math.round(seconds)] as const);
  return { section: "seconds", sizes: Object.fromEntries(rounded) };
}

function readSeconds(test: string): number {
  const { file } = recordedSeconds(test);
  return existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
}
