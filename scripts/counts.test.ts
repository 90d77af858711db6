import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../test/temporary.ts";

const program = fileURLToPath(new URL("../.ci/counts.mjs", import.meta.url));
const folder = temporaryFolder();

function count(report?: object): { readonly line: string; readonly status: number | null } {
  const file = path.join(folder, report === undefined ? "none.json" : "report.json");
  if (report !== undefined) writeFileSync(file, JSON.stringify(report));
  const { stdout, status } = spawnSync(process.execPath, [program, file], { encoding: "utf8" });
  return { line: stdout, status };
}
const file = (status: string, ...tests: readonly string[]) => ({
  status,
  assertionResults: tests.map((each) => ({ status: each })),
});

test("exits with 0 if all tests pass", () => {
  expect(count({ numPassedTests: 3, numFailedTests: 0, testResults: [file("passed", "passed")] })).toEqual({
    line: "3 passed, 0 failed\n",
    status: 0,
  });
});

test("fails if a test fails", () => {
  expect(count({ numPassedTests: 2, numFailedTests: 1, testResults: [file("failed", "passed", "failed")] })).toEqual({
    line: "2 passed, 1 failed\n",
    status: 1,
  });
});

test("fails if a test file cannot be loaded", () => {
  expect(
    count({ numPassedTests: 2, numFailedTests: 0, testResults: [file("failed"), file("passed", "passed", "passed")] }),
  ).toEqual({ line: "2 passed, 1 failed\n", status: 1 });
});

test("fails without a report, and with a report without tests", () => {
  expect(count()).toEqual({ line: "0 passed, 0 failed\n", status: 1 });
  expect(count({ numPassedTests: 0, numFailedTests: 0, testResults: [] })).toEqual({
    line: "0 passed, 0 failed\n",
    status: 1,
  });
});
