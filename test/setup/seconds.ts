/**
 * Records the processor seconds of each test file, with its child processes, for the budgets of `npm run check`. A test that measures time fails on a
 * busy machine; processor time hardly depends on what else runs.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { afterAll, expect } from "vitest";
import { recordedSeconds } from "../../scripts/check/test-seconds.ts";

/** Returns the processor time of this process and, on Linux, of its ended child processes. */
function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6 + childSeconds();
}

const ticksPerSecond = 100;

function childSeconds(): number {
  if (process.platform !== "linux") return 0;
  const status = readFileSync("/proc/self/stat", "utf8");
  // The name of the program, in parentheses, can contain spaces. The times of children are the fields 16 and 17 of proc(5).
  const [user, system] = status
    .slice(status.lastIndexOf(")") + 2)
    .split(" ")
    .slice(13, 15);
  return (Number(user) + Number(system)) / ticksPerSecond;
}

const start = processorSeconds();
const { folder, file } = recordedSeconds(relative(process.cwd(), expect.getState().testPath ?? ""));
mkdirSync(folder, { recursive: true });
const record = (): void => writeFileSync(file, String(processorSeconds() - start));
// Hooks do not run in a file whose tests are all skipped.
record();
afterAll(record);
