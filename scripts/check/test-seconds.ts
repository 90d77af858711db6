/** Processor seconds of test files, as their last runs recorded them (`test/setup/seconds.ts`). */
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import type { Measured } from "./budgets.ts";
import type { Finding, Source } from "./sources.ts";

/** Returns where the seconds of a test file are stored. @param test path relative to the root. */
export function recordedSeconds(test: string): { readonly folder: string; readonly file: string } {
  const folder = path.join("node_modules", ".cache", "pith", "test-seconds");
  return { folder, file: path.join(folder, test.replaceAll(/[\\/]/g, "+")) };
}

/**
 * Sums the seconds of the quick tests by folder: `test/app/cli`, `src/core`. Tests that did not run since they changed are findings.
 * @param read returns undefined for such a test.
 */
export function measureTests(
  sources: readonly Source[],
  read = readSeconds,
): { readonly measured: Measured; readonly unrecorded: readonly Finding[] } {
  const sizes: Record<string, number> = {};
  const unrecorded: Finding[] = [];
  for (const { file } of sources) {
    if (!/\.test\.tsx?$/.test(file) || file.endsWith(".slow.test.ts")) continue;
    const folder = path.posix
      .dirname(file)
      .split("/")
      .slice(0, file.startsWith("test/") ? 3 : 2)
      .join("/");
    const seconds = read(file);
    sizes[folder] = (sizes[folder] ?? 0) + (seconds ?? 0);
    if (seconds === undefined) {
      const text = "it did not run since it changed, so its processor time is unknown: run `npm test` first.";
      unrecorded.push({ file, line: 1, rule: "budgets", text });
    }
  }
  const rounded = Object.entries(sizes).map(([folder, seconds]) => [folder, Math.round(seconds)] as const);
  return { measured: { section: "seconds", sizes: Object.fromEntries(rounded) }, unrecorded };
}

function readSeconds(test: string): number | undefined {
  const { file } = recordedSeconds(test);
  const isRecorded = existsSync(file) && statSync(file).mtimeMs >= statSync(test).mtimeMs;
  return isRecorded ? Number(readFileSync(file, "utf8")) : undefined;
}
