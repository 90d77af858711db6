/** A job that behaves as its input says: for the tests of the process boundary. */
import { spawn } from "node:child_process";
import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { importModule } from "#platform";
import { createEngine } from "../../../../src/core/engine/index.ts";
import { PithError, throwIfAborted } from "../../../../src/core/errors.ts";
import { parseModel } from "../../../../src/core/graph/text.ts";
import { float32 } from "../../../../src/core/tensor/dense.ts";
import type { JobContext } from "../../../../src/runtime/job/job.ts";

export type Behaviour =
  | { readonly kind: "double"; readonly values: Float32Array }
  | { readonly kind: "events" }
  | { readonly kind: "import"; readonly path: string }
  | { readonly kind: "pith-error" }
  | { readonly kind: "fault" }
  | { readonly kind: "late-fault" }
  | { readonly kind: "late-rejection"; readonly reason: unknown }
  | { readonly kind: "kill"; readonly signal: NodeJS.Signals }
  | { readonly kind: "last-words" }
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "exhaust-memory" }
  | { readonly kind: "die-with-child" }
  | { readonly kind: "endless-run" }
  | { readonly kind: "wait" }
  | { readonly kind: "keep-what-is-done" }
  | { readonly kind: "block" }
  | { readonly kind: "not-copyable" }
  | { readonly kind: "fill-folder" };

export default async function behave(input: Behaviour, context: JobContext): Promise<unknown> {
  const forever = (): Promise<never> => new Promise(() => setInterval(() => {}, 1000));
  switch (input.kind) {
    case "double":
      return { values: input.values.map((value) => 2 * value), count: 1n };
    case "events":
      context.stage("count");
      for (let done = 0; done <= 1000; done++) context.progress(done, 1000);
      context.log({ id: "small-data", text: "few samples" });
      console.log("a line from the job");
      return "done";
    case "import":
      return (await importModule(input.path, "E_DATA")).default;
    case "pith-error":
      throw new PithError("E_DATA", 'Row 3: column "x" holds "a", expected a number.', { hint: "Remove the row." });
    case "fault":
      throw new TypeError("undefined is not a model");
    case "late-fault":
      setTimeout(() => {
        throw new RangeError("thrown from a timer");
      }, 1);
      return forever();
    case "late-rejection":
      void Promise.reject(input.reason);
      return forever();
    case "last-words":
      writeSync(2, "long before\n");
      await new Promise((resolve) => setTimeout(resolve, 500));
      writeSync(2, "terminate called: broken\n----- Native stack trace -----\n\n 1: 0xbaa [node]\n");
      process.kill(process.pid, "SIGABRT");
      return forever();
    case "kill":
      process.kill(process.pid, input.signal);
      return forever();
    case "exit":
      process.exit(input.code);
      break;
    case "die-with-child":
      // It has the job's standard output, and lives on.
      spawn(process.execPath, ["-e", "setTimeout(() => {}, 20000)"], { stdio: "inherit", detached: true }).unref();
      process.exit(3);
      break;
    case "exhaust-memory": {
      const kept: string[][] = [];
      for (;;) kept.push(Array.from({ length: 1e5 }, (_, index) => `${kept.length} ${index}`));
    }
    case "endless-run": {
      const loop = parseModel(`opset 21
graph (x: float32[]) -> (y) {
  trips: int64[] = [1000000000000]
  y = Loop(trips, _, x) {body=graph (i: int64[], go: bool[], s: float32[]) -> (on, t) {
    on = Identity(go)
    t = Cos(s)
  }}
}`);
      const engine = createEngine();
      const short = await engine.load(parseModel("opset 21\ngraph (x: float32[]) -> (y) {\n  y = Cos(x)\n}"));
      const session = await engine.load(loop);
      // Two runs within a tenth of a second
      await short.run({ x: float32([], [1]) });
      return session.run({ x: float32([], [1]) });
    }
    case "wait":
      context.stage("wait");
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {}, 1000);
        context.signal.addEventListener("abort", () => {
          clearInterval(timer);
          resolve();
        });
      });
      throwIfAborted(context.signal);
      return "never";
    case "keep-what-is-done":
      context.stage("wait");
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      return "half";
    case "block":
      context.stage("block");
      setTimeout(() => {
        for (;;);
      }, 20);
      return forever();
    case "not-copyable":
      return () => {};
    case "fill-folder":
      writeFileSync(join(context.temporary, "part.bin"), "half");
      context.log({ id: "folder", text: context.temporary });
      throw new PithError("E_DATA", "Gave up.");
  }
}
