/** The process of a job: receives the request, runs the job and sends the result. */
import { rmSync } from "node:fs";
import { optionError } from "#ir";
import { observeRuns } from "../../core/engine/observed-runs.ts";
import { permitModules } from "../../core/platform/node-modules.ts";
import { disableTelemetry } from "../../core/platform/node-telemetry.ts";
import { toFault } from "../../core/platform/serialized-error.ts";
import { eventContext, isJobMessage, type Job, type JobContext, type ToChild, type ToParent } from "./job.ts";

/** Minimum milliseconds between progress messages. */
const progressInterval = 50;
/** Milliseconds that a job has to end after its parent process has ended. */
const orphanGrace = 5000;

type ImportJob = (address: string) => Promise<{ readonly default?: unknown }>;

const controller = new AbortController();

export function serveJob(importJob: ImportJob): void {
  // Ctrl-C reaches the whole process group: the parent decides and sends a message.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => controller.abort());
  process.on("uncaughtException", (error) => finish({ pith: "fault", fault: toFault(error) }));
  // Without this handler, Node replaces a rejection that is not an Error by its own error.
  process.on("unhandledRejection", (reason) => finish({ pith: "fault", fault: toFault(reason) }));
  process.on("message", (message) => {
    if (!isJobMessage<ToChild>(message)) return;
    if (message.pith === "stop") controller.abort();
    else void start(message, importJob);
  });
}

async function start(
  { module, input, temporary, modules }: Extract<ToChild, { pith: "start" }>,
  importJob: ImportJob,
): Promise<void> {
  if (modules !== undefined) permitModules(modules);
  // Files in the system's temporary folder are removed with the job, even after a crash.
  for (const name of ["TMPDIR", "TEMP", "TMP"]) process.env[name] = temporary;
  process.on("disconnect", () => {
    controller.abort();
    process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));
    setTimeout(() => process.exit(1), orphanGrace).unref();
  });
  try {
    // A job or a user module can load the runtime itself.
    await disableTelemetry();
    const { default: job } = await importJob(module);
    if (!isJob(job)) throw optionError(`${module} has no function as its default export: it is not a job.`);
    send({ pith: "begun" });
    observeRuns((isRunning) => send({ pith: "run", isRunning }));
    const output = await job(input as never, createContext(temporary));
    finish({ pith: "result", output });
  } catch (error) {
    finish({ pith: "fault", fault: toFault(error) });
  }
}

function isJob(value: unknown): value is Job {
  return typeof value === "function";
}

function createContext(temporary: string): JobContext {
  let lastShown = 0;
  return eventContext({ signal: controller.signal, temporary }, (event) => {
    if (event.kind === "progress") {
      const now = performance.now();
      if (now - lastShown < progressInterval && event.done !== event.total) return;
      lastShown = now;
    }
    send({ pith: "event", event });
  });
}

function send(message: ToParent): void {
  if (process.connected) process.send?.(message);
}

function finish(message: ToParent): void {
  if (!process.connected) process.exit(1);
  // Exits despite open sessions and timers.
  try {
    process.send?.(message, () => process.exit(0));
  } catch (error) {
    // The output contains a value that cannot be cloned, such as a function.
    const fault: ToParent = { pith: "fault", fault: toFault(error) };
    process.send?.(fault, () => process.exit(0));
  }
}
