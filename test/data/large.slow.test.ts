/** Memory of a process that reads a large file in any order. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { mebibyte, npy } from "./sparse.ts";

test("shuffled batches out of 768 MiB take less than 160 MiB more than a process that reads nothing", async () => {
  const path = await npy();
  const script = fileURLToPath(new URL("large.script.ts", import.meta.url));
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const peak = (read: string): number => {
    const words = ["--import", loader, "--conditions=pith-source", script, read];
    return Number(execFileSync(process.execPath, words, { encoding: "utf8" }));
  };
  expect(peak(path) - peak("")).toBeLessThan(160 * mebibyte);
});
