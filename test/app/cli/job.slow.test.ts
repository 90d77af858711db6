/** Jobs that fail after a while, and jobs that run from sources. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { JobEvent } from "../../../src/runtime/job/job.ts";
import { runJob as runFromSources } from "../../../src/runtime/job/run.ts";
import { temporaryFolder } from "../../temporary.ts";
import { address, failure, run, runJob, stopOnStage } from "./behaving.ts";
import type behave from "./jobs/behave.ts";

describe("a job", () => {
  test("runs from sources, too", async () => {
    const source = new URL("./jobs/behave.ts", import.meta.url);
    const input = { kind: "double", values: Float32Array.of(1) } as const;
    expect(await runFromSources<typeof behave>(source, input)).toEqual({ values: Float32Array.of(2), count: 1n });
  });

  test("fails with E_ENGINE and mentions memory if it exhausts the heap", async () => {
    const before = process.env.NODE_OPTIONS;
    process.env.NODE_OPTIONS = "--max-old-space-size=64";
    try {
      const error = await failure({ kind: "exhaust-memory" });
      expect(error).toMatchObject({ code: "E_ENGINE", message: expect.stringContaining("ran out of memory") });
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    }
  });

  test.each([134, 3])("fails with E_ENGINE if it exits with code %d", async (code) => {
    const expected = code === 134 ? "SIGABRT" : "exit code 3";
    expect(await failure({ kind: "exit", code })).toMatchObject({
      code: "E_ENGINE",
      message: expect.stringContaining(expected),
    });
  });

  test("fails with E_ENGINE if it dies while a child process keeps its output open", async () => {
    const began = performance.now();
    expect(await failure({ kind: "die-with-child" })).toMatchObject({ code: "E_ENGINE" });
    expect(performance.now() - began).toBeLessThan(18_000);
  });
});

describe("a job", () => {
  test("imports only permitted modules", async () => {
    const folder = temporaryFolder();
    const [rows, otherModule] = ["rows.mjs", "others.mjs"].map((name) => join(folder, name)) as [string, string];
    for (const path of [rows, otherModule]) writeFileSync(path, 'console.log("ran");\nexport default 3;\n');
    const lines: string[] = [];
    const onEvent = (event: JobEvent) => event.kind === "output" && lines.push(event.text);
    for (const path of [otherModule, `${rows}/../others.mjs`, `${otherModule}/.`, join(folder, "missing.mjs")])
      expect(await failure({ kind: "import", path }, { modules: [rows], onEvent })).toMatchObject({
        code: "E_OPTION",
        message: `"${path}" is code that the command line does not name.`,
      });
    await failure({ kind: "import", path: rows }, { modules: [], onEvent });
    expect(lines).toEqual([]);
    expect(await run({ kind: "import", path: rows }, { modules: [rows], onEvent })).toBe(3);
    expect(lines).toEqual(["ran"]);
  });

  test("fails with E_ENGINE if its module does not load in time", async () => {
    const never = address("jobs/never.js");
    await expect(runJob(never, {} as never, { name: "eval m.onnx", startLimit: 1000 })).rejects.toMatchObject({
      code: "E_ENGINE",
      message: "eval m.onnx: its process did not begin within 1 s.",
    });
  });

  test("notes that one run of the model takes long, and fails with E_ENGINE if the run does not end", async () => {
    const events: JobEvent[] = [];
    const error = await failure(
      { kind: "endless-run" },
      { name: "eval m.onnx", runLimits: { note: 100, stop: 600 }, onEvent: (event) => events.push(event) },
    );
    expect(error).toMatchObject({
      code: "E_ENGINE",
      message: "eval m.onnx: one run of the model did not end within 0.01 minutes.",
    });
    expect(events).toMatchObject([{ kind: "log", id: "long-run", level: "note" }]);
  });
});

describe("stopping a job", () => {
  test("kills a blocking job after the grace period", async () => {
    const { options } = stopOnStage();
    expect(await failure({ kind: "block" }, options)).toMatchObject({ code: "E_STOPPED" });
  });
});

test("includes the last line of a dying process in the error instead of printing it", async () => {
  const events: JobEvent[] = [];
  const error = await failure({ kind: "last-words" }, { onEvent: (event) => events.push(event) });
  expect(error.message).toContain("(SIGABRT); its last line: terminate called: broken");
  expect(events).toEqual([{ kind: "output", text: "long before" }]);
});
