#!/usr/bin/env node
/** The executable: signals and streams around `runProgram`. */
import * as module from "node:module";

// From Node 22 on, compiled code is kept for the next start. What is to profit from it must be imported afterwards.
const { enableCompileCache } = module as { enableCompileCache?: () => unknown };
enableCompileCache?.();
const [{ exitCode, runProgram }, { invocation }] = await Promise.all([
  import("./program.ts"),
  import("./invocation.ts"),
]);

const controller = new AbortController();
/** Exit codes as those of programs that the signal itself has ended: 128 + its number. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;
let stoppedBy: keyof typeof codes | undefined;
let isDone = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // Only the reader of a pipe is waited for.
    if (isDone) process.exit(codes[signal]);
    // Asked twice: do not wait for a clean end. Exit handlers kill jobs and remove temporary files.
    if (stoppedBy !== undefined) {
      process.stderr.write("Stopped at once.\n");
      process.exit(codes[signal]);
    }
    stoppedBy = signal;
    controller.abort();
  });
}
// The reader of a pipe may leave early: `pith inspect model.onnx | head`. A result that was not read is a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCode.ok);
  const reason = error.code === "ENOSPC" ? "the disk is full" : error.message;
  const message = `Standard output cannot be written: ${reason}.`;
  const json = process.argv.includes("--json");
  process.stderr.write(json ? `${JSON.stringify({ error: { code: "E_FILE", message } })}\n` : `E_FILE: ${message}\n`);
  process.exit(exitCode.failed);
});
// There is nowhere left to say it.
process.stderr.on("error", () => process.exit(exitCode.failed));

const code = await runProgram(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  signal: controller.signal,
  env: process.env,
  program: invocation(process.env),
});
isDone = true;
process.exitCode = stoppedBy === undefined ? code : codes[stoppedBy];
