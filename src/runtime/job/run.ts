/** Runs a job in a child process, and turns its end into a result or an error. */

import { type ChildProcess, fork } from "node:child_process";
import * as nodeModule from "node:module";
import { constants, setPriority } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { PithError, throwIfAborted } from "#ir";
import { moduleOf } from "#root";
import { permittedModules } from "../../core/platform/node-modules.ts";
import { temporaryFolder } from "../../core/platform/node-temporary.ts";
import { fromFault } from "../../core/platform/serialized-error.ts";
import { loaderOfSources, sourceCondition } from "../../core/platform/source-modules.ts";
import { isJobMessage, type Job, type JobEvent, type ToChild, type ToParent } from "./job.ts";

export interface RunJobOptions {
  /** The name in messages: `quantize model.onnx`. */
  readonly name?: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: JobEvent) => void;
  /** A stopped job saves its progress, which takes longer: it gets `savingGrace`. */
  readonly keeps?: boolean;
  /** The only user modules that the job may import (default: those of this process). */
  readonly modules?: readonly string[] | undefined;
  /** Runs with the lowest priority, so that speed measurements are not disturbed. */
  readonly isBackground?: boolean;
  /** Milliseconds from the stop request to the kill; the default depends on `keeps`. */
  readonly grace?: number;
  /** The maximum milliseconds until the job's module is loaded. */
  readonly startLimit?: number;
  /** Milliseconds of one run of a model after which a note is printed, and after which the job is stopped. */
  readonly runLimits?: { readonly note: number; readonly stop: number };
  /** Receives the process, to exchange messages without a `pith` key with the job. */
  readonly onChild?: (child: ChildProcess) => void;
}

/** Node 22 and newer: the compile cache folder, if this process has enabled it. */
const { getCompileCacheDir } = nodeModule as { getCompileCacheDir?: () => string | undefined };

/**
 * Threads of the garbage collection wait for each other, and most objects of a graph outlive a small young generation. Node 20 optimizes functions too
 * early for short jobs. An unknown flag ends the job: each must exist in all versions of Node that get it.
 */
const engineFlags = [
  ...["--single-threaded-gc", "--min-semi-space-size=16"],
  ...(process.version.startsWith("v20.") ? ["--interrupt-budget=1000000"] : []),
];
/** The default grace in milliseconds. */
const defaultGrace = 500;
/** Long enough for a training step and its checkpoint. */
const savingGrace = 10_000;
/** Milliseconds after which Pith prints why a stop takes time. */
const noticeDelay = 500;
/** Maximum milliseconds for loading modules. */
const defaultStartLimit = 120_000;
/** Milliseconds of one run; the largest models on slow processors take minutes. */
const defaultRunLimits = { note: 60_000, stop: 3_600_000 };
/** Milliseconds to read output after a process ended: its children can hold the stream open. */
const outputGrace = 2000;
/** Number of lines of output that are kept to explain a crash. */
const maxKeptLines = 50;
/** Milliseconds that output lines are delayed, so that the last lines before a crash are not printed. */
const lineDelay = 200;

/** Runs the default export of `module` in a separate process. @throws what the job threw; E_STOPPED after `signal`; E_ENGINE after a crash. */
export async function runJob<J extends Job>(
  module: URL,
  input: Parameters<J>[0],
  options: RunJobOptions = {},
): Promise<Awaited<ReturnType<J>>> {
  const { signal, onEvent = () => {}, name = "The job", keeps = false } = options;
  const { grace = keeps ? savingGrace : defaultGrace, startLimit = defaultStartLimit } = options;
  const { runLimits = defaultRunLimits } = options;
  throwIfAborted(signal);
  const temporary = await temporaryFolder();
  const child = start(module);
  if (options.isBackground === true) lowerPriority(child);
  options.onChild?.(child);
  const kill = (): void => void child.kill("SIGKILL");
  // Runs before the folder is removed.
  process.prependListener("exit", kill);

  const lines: string[] = [];
  const pendingLines: string[] = [];
  let flusher: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(flusher);
    flusher = undefined;
    for (const text of pendingLines.splice(0)) onEvent({ kind: "output", text });
  };
  const onLine = (text: string): void => {
    lines.push(text);
    if (lines.length > maxKeptLines) lines.shift();
    pendingLines.push(text);
    flusher ??= setTimeout(flush, lineDelay);
  };
  const outputRead = Promise.all([eachLine(child.stdout, onLine), eachLine(child.stderr, onLine)]);

  const stopTimers: NodeJS.Timeout[] = [];
  const stop = (): void => {
    send(child, { pith: "stop" });
    stopTimers.push(setTimeout(kill, grace));
    const text = "what was done so far is being written; Ctrl-C again quits without it";
    if (keeps)
      stopTimers.push(setTimeout(() => onEvent({ kind: "log", id: "stop", text, level: "note" }), noticeDelay));
  };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();

  let closer: NodeJS.Timeout | undefined;
  let overrun: PithError | undefined;
  const stopLate = (error: PithError): void => {
    overrun = error;
    kill();
  };
  const starting = setTimeout(() => stopLate(startError(name, startLimit)), startLimit);
  let runTimers: NodeJS.Timeout[] = [];
  const watchRun = (isRunning: boolean): void => {
    for (const timer of runTimers) clearTimeout(timer);
    runTimers = [];
    if (!isRunning) return;
    const text = `one run of the model takes longer than ${runLimits.note / 1000} s; Ctrl-C stops it`;
    runTimers = [
      setTimeout(() => onEvent({ kind: "log", id: "long-run", text, level: "note" }), runLimits.note),
      setTimeout(() => stopLate(runError(name, runLimits.stop)), runLimits.stop),
    ];
  };
  try {
    const answer = await new Promise<Answer | Ending>((resolve, reject) => {
      let lastAnswer: Answer | undefined;
      child.on("error", reject);
      child.on("message", (message) => {
        if (!isJobMessage<ToParent>(message)) return;
        clearTimeout(starting);
        if (message.pith === "run") return watchRun(message.isRunning);
        flush();
        if (message.pith === "event") {
          // A run blocks the thread of the job, so none is in progress when the job reports an event.
          if (runTimers.length > 0) watchRun(true);
          onEvent(message.event);
        } else if (message.pith !== "begun") {
          lastAnswer = message;
          // A stopped job can still wait for threads.
          if (signal?.aborted === true) kill();
        }
      });
      child.on("exit", () => {
        clearTimeout(starting);
        closer = setTimeout(
          () => {
            child.stdout?.destroy();
            child.stderr?.destroy();
          },
          signal?.aborted === true ? 0 : outputGrace,
        );
      });
      child.on("close", (code, killedBy) => resolve(lastAnswer ?? { pith: "ended", code, signal: killedBy }));
      const { modules = permittedModules() } = options;
      send(child, { pith: "start", module: module.href, input, temporary: temporary.path, modules });
    });
    await outputRead;
    if (answer.pith !== "ended") flush();
    if (answer.pith === "result") return answer.output as Awaited<ReturnType<J>>;
    if (answer.pith === "fault") throw fromFault(answer.fault);
    throwIfAborted(signal, `${name} was stopped.`);
    throw overrun ?? crashError(name, answer, lines);
  } finally {
    clearTimeout(starting);
    watchRun(false);
    clearTimeout(closer);
    for (const timer of stopTimers) clearTimeout(timer);
    clearTimeout(flusher);
    signal?.removeEventListener("abort", stop);
    process.off("exit", kill);
    kill();
    await temporary.remove();
  }
}

const startError = (name: string, limit: number): PithError =>
  new PithError("E_ENGINE", `${name}: its process did not begin within ${limit / 1000} s.`, {
    hint: "The machine may be too busy, or short of memory. Nothing was written.",
  });

const runError = (name: string, limit: number): PithError =>
  new PithError("E_ENGINE", `${name}: one run of the model did not end within ${limit / 60_000} minutes.`, {
    hint: "A Loop of the model may not end. For large models, pass a smaller `batch`, or smaller sizes (`dim`).",
  });

type Answer = Exclude<ToParent, { pith: "event" | "begun" | "run" }>;

interface Ending {
  readonly pith: "ended";
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Lowers the priority of a process. Must run before it starts threads, which inherit the priority on Linux. */
function lowerPriority({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // If this is not permitted or the process has ended, the priority is unchanged.
  }
}

function start(module: URL): ChildProcess {
  const boot = moduleOf("runtime/job/any-job");
  const source = boot.pathname.endsWith(".ts") || module.pathname.endsWith(".ts");
  const cache = getCompileCacheDir?.();
  return fork(fileURLToPath(boot), [], {
    env: { ...process.env, ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }) },
    execArgv: [...engineFlags, ...(source ? ["--import", loaderOfSources(), sourceCondition] : [])],
    serialization: "advanced",
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}

function send(child: ChildProcess, message: ToChild): void {
  // A process that dies at this moment is reported by its exit.
  if (child.connected) child.send(message, () => {});
}

/** Calls `onLine` for each line; resolves when the stream ends or is destroyed. */
function eachLine(stream: Readable | null, onLine: (text: string) => void): Promise<void> {
  return new Promise((resolve) => {
    if (stream === null) return resolve();
    const lines = createInterface({ input: stream, crlfDelay: Infinity });
    lines.on("line", onLine).on("close", resolve);
    stream.on("close", () => lines.close());
  });
}

/** Returns the error for a process that ended without a result. A shell's exit code 128 + n means signal n. */
function crashError(name: string, { code, signal }: Ending, lines: readonly string[]): PithError {
  const text = lines.join("\n");
  const ending =
    signal ??
    [...crashSignals, "SIGKILL" as const].find((signal) => 128 + constants.signals[signal] === code) ??
    `exit code ${code}`;
  const lastWords = lines.findLast((line) => line.trim() !== "" && !isStackLine(line))?.trim();
  const isHeapFull = /heap out of memory|Array buffer allocation failed|bad_alloc/.test(text);
  if (isHeapFull || ending === "SIGKILL") {
    const cause = isHeapFull
      ? `ran out of memory (${ending})`
      : "was killed by the system (SIGKILL), most likely for memory";
    const hint = "A smaller `batch` or fewer `samples` take less memory.";
    return new PithError("E_ENGINE", `${name}: its process ${cause}.`, { hint });
  }
  const isNative = crashSignals.some((signal) => signal === ending);
  const failure = isNative ? "crashed in native code" : "ended without a result";
  const message = `${name}: its process ${failure} (${ending})${lastWords === undefined ? "." : `; its last line: ${lastWords}`}`;
  return new PithError("E_ENGINE", message, {
    hint: isNative
      ? "ONNX Runtime cannot run this model as it is; `pith inspect` shows what is in it."
      : "Nothing was written.",
  });
}

function isStackLine(line: string): boolean {
  return /^\s*(\d+: 0x|#\d+ |at )|Native stack trace|JavaScript stack trace|core dumped/.test(line);
}

const crashSignals = ["SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"] as const;
