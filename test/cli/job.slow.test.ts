/** Jobs that fail after a while, and jobs that run from sources. */
import { describe, expect, test } from "vitest";
import { runJob as runFromSources } from "../../src/runtime/job/run.ts";
import { failure } from "./behaving.ts";
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
