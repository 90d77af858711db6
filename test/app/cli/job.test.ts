import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { asModuleError } from "../../../src/app/cli/module-failure.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { thrownValue } from "../../../src/core/platform/serialized-error.ts";
import type { JobEvent } from "../../../src/runtime/job/job.ts";
import { temporaryFolder } from "../../temporary.ts";
import { address, failure, run, runJob, stopOnStage } from "./behaving.ts";
import { runWithProcesses } from "./run.ts";

const { PithError }: typeof import("../../../src/core/errors.ts") = await import(address("core/errors.js").href);

describe("a job", () => {
  test("receives and returns typed arrays", async () => {
    expect(await run({ kind: "double", values: Float32Array.of(1, 2.5) })).toEqual({
      values: Float32Array.of(2, 5),
      count: 1n,
    });
  });

  test("reports stage, progress, log and printed lines in order, and always the last progress", async () => {
    const events: JobEvent[] = [];
    expect(await run({ kind: "events" }, { onEvent: (event) => events.push(event) })).toBe("done");
    const progress = events.filter((event) => event.kind === "progress");
    expect(events[0]).toEqual({ kind: "stage", name: "count" });
    expect(progress.at(-1)).toEqual({ kind: "progress", done: 1000, total: 1000 });
    expect(progress.length).toBeLessThan(100);
    expect(events).toContainEqual({ kind: "log", id: "small-data", text: "few samples", level: "note" });
    expect(events).toContainEqual({ kind: "output", text: "a line from the job" });
  });

  test("fails with code, sentence and hint of a thrown PithError", async () => {
    const error = await failure({ kind: "pith-error" });
    expect(error).toBeInstanceOf(PithError);
    expect(error).toMatchObject({
      code: "E_DATA",
      message: 'Row 3: column "x" holds "a", expected a number.',
      hint: "Remove the row.",
    });
  });

  test("fails with name and stack of any other error", async () => {
    const error = await failure({ kind: "fault" });
    expect(error).not.toBeInstanceOf(PithError);
    expect(error.name).toBe("TypeError");
    expect(error.stack).toContain("behave.js");
  });

  test("fails for an error that is thrown outside its promise", async () => {
    expect(await failure({ kind: "late-fault" })).toMatchObject({ name: "RangeError" });
  });

  test.each([
    ["no access", "no access"],
    [undefined, "undefined"],
    [{ status: 404 }, '{"status":404}'],
  ])("fails with the text of a rejected value that is not an Error: %o", async (reason, text) => {
    const error = await failure({ kind: "late-rejection", reason });
    expect(error).toMatchObject({ name: thrownValue, message: text });
    expect(asModuleError(error)).toMatchObject({
      code: "E_OPTION",
      message: `A module threw ${text}, which is not an error.`,
      hint: expect.stringContaining('Look for "throw" in the modules that you named'),
    });
  });

  test("fails if its output cannot be copied", async () => {
    expect(await failure({ kind: "not-copyable" })).toMatchObject({
      message: expect.stringContaining("could not be cloned"),
    });
  });

  test.each(["SIGSEGV", "SIGABRT"] as const)("fails with E_ENGINE and the signal if it dies of %s", async (signal) => {
    const error = await failure({ kind: "kill", signal }, { name: "eval m.onnx" });
    expect(error).toMatchObject({
      code: "E_ENGINE",
      message: expect.stringContaining(`eval m.onnx: its process crashed in native code (${signal})`),
    });
  });

  test("fails with E_ENGINE and mentions memory if the system kills it", async () => {
    const error = await failure({ kind: "kill", signal: "SIGKILL" });
    expect(error).toMatchObject({ code: "E_ENGINE", message: expect.stringContaining("most likely for memory") });
  });

  test("rejects a module without a job", async () => {
    const error = await runJob(address("core/errors.js"), {} as never).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "E_OPTION" });
  });
});

describe("stopping a job", () => {
  test("ends with E_STOPPED within the grace period if the job listens", async () => {
    const { options, began } = stopOnStage();
    expect(await failure({ kind: "wait" }, { ...options, grace: 30_000 })).toMatchObject({ code: "E_STOPPED" });
    expect(performance.now() - began()).toBeLessThan(10_000);
  });

  test("returns the result of a job that returns finished work", async () => {
    const { options } = stopOnStage();
    expect(await run({ kind: "keep-what-is-done" }, options)).toBe("half");
  });

  test("starts no process if the signal was aborted before", async () => {
    expect(await failure({ kind: "kill", signal: "SIGSEGV" }, { signal: AbortSignal.abort() })).toMatchObject({
      code: "E_STOPPED",
    });
  });
});

test("a failed job leaves no temporary files", async () => {
  let folder = "";
  const onEvent = (event: JobEvent): void => {
    if (event.kind === "log") folder = event.text;
  };
  expect(await failure({ kind: "fill-folder" }, { onEvent })).toMatchObject({ code: "E_DATA" });
  expect(folder).not.toBe("");
  expect(existsSync(folder)).toBe(false);
});

describe("a model that crashes ONNX Runtime", () => {
  const folder = temporaryFolder();
  const model = join(folder, "crash.onnx");
  // A Split with an unused second output is valid, but causes a segmentation fault in ONNX Runtime 1.30.
  beforeAll(() =>
    save(
      parseModel(`opset 21
graph (x: float32[4]) -> (a: float32[1], c: float32[2]) {
  sizes: int64[3] = [1, 1, 2]
  a, _, c = Split(x, sizes) {axis=0}
}
`),
      model,
    ),
  );

  test("ends the command with a sentence and a hint, and leaves no files", async () => {
    const { code, out, err } = await runWithProcesses("bench", model);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toBe(
      `E_ENGINE: bench ${model}: its process crashed in native code (SIGSEGV).\nhint: ONNX Runtime cannot run this model as it is; \`pith inspect\` shows what is in it.\n`,
    );
    expect(readdirSync(folder)).toEqual(["crash.onnx"]);
  });
});
