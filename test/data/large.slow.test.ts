/** Tests the memory of a process that reads a large file in random order. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { mebibyte, npy } from "./sparse.ts";

test("reading shuffled batches from 768 MiB takes less than 160 MiB of extra memory", async () => {
  const path = await npy();
  const script = fileURLToPath(new URL("large.script.ts", import.meta.url));
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const peak = (read: string): number => {
    const words = ["--import", loader, "--conditions=pith-source", script, read];
    return Number(execFileSync(process.execPath, words, { encoding: "utf8" }));
  };
  expect(peak(path) - peak("")).toBeLessThan(160 * mebibyte);
});
