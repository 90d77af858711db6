#!/usr/bin/env node
/** The executable `pith`: runs the command line (`runProgram`) with this process's streams and signals. */
import * as module from "node:module";

// Node 22 and newer cache compiled code. Only imports after this call benefit.
const { enableCompileCache } = module as { enableCompileCache?: () => unknown };
enableCompileCache?.();
const { exitCodes: exitCode, invocation, runProgram } = await import("./program.ts");

const controller = new AbortController();
/** Exit codes as if the signal had killed the program. */
const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const;
let stoppedBy: keyof typeof signalCodes | undefined;
let isDone = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // The command is finished, and only waits until the reader of its output has read everything.
    if (isDone) process.exit(signalCodes[signal]);
    // A second signal ends at once. Exit handlers kill jobs and remove temporary files.
    if (stoppedBy !== undefined) {
      process.stderr.write("Stopped at once.\n");
      process.exit(signalCodes[signal]);
    }
    stoppedBy = signal;
    controller.abort();
  });
}
// The reader of a pipe can end early (`| head`), which is not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCode.ok);
  const reason = error.code === "ENOSPC" ? "the disk is full" : error.message;
  const message = `Standard output cannot be written: ${reason}.`;
  const json = process.argv.includes("--json");
  process.stderr.write(json ? `${JSON.stringify({ error: { code: "E_FILE", message } })}\n` : `E_FILE: ${message}\n`);
  process.exit(exitCode.failed);
});
process.stderr.on("error", () => process.exit(exitCode.failed));

const code = await runProgram(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  signal: controller.signal,
  env: process.env,
  program: invocation(process.env),
});
isDone = true;
process.exitCode = stoppedBy === undefined ? code : signalCodes[stoppedBy];
