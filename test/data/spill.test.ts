/** Temporary files are removed even if the process is killed or the disk is full. */
import { once } from "node:events";
import { expect, test } from "vitest";
import { start } from "./spilled.ts";

test.skipIf(process.platform === "win32")("kill -9 leaves no temporary file", async () => {
  const { child, gone, left } = start("");
  await once(child.stdout, "data");
  expect(left()).toEqual([]);
  child.kill("SIGKILL");
  const [, signal] = await gone;
  expect([signal, left()]).toEqual(["SIGKILL", []]);
});
