/** A job is a function that can run in a separate process, because ONNX Runtime blocks its thread and some graphs abort the process. */
import { statSync } from "node:fs";
import type { Fault } from "../../core/platform/serialized-error.ts";

export interface JobContext {
  /** Aborts when the job should stop. */
  readonly signal: AbortSignal;
  /** An empty folder of this job, which is removed when it ends. */
  readonly temporary: string;
  stage(name: string): void;
  /** `figures` is the current result: "loss 0.2134". */
  progress(done: number, total?: number, figures?: string): void;
  /** Logs a note (default) or a warning, under a stable id. */
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  /** Announces files that the job begins to write. If its process dies, its temporary files next to them are removed. */
  writes(paths: readonly string[]): void;
}

export interface AnnouncedFiles {
  /** The process that writes the files. */
  readonly owner: number;
  /** `modified`: milliseconds at which an existing file was last changed. */
  readonly files: readonly { readonly path: string; readonly modified: number | undefined }[];
}

/** Input and output are structured clones: plain data and typed arrays, no functions. */
export type Job = (input: never, context: JobContext) => Promise<unknown>;

export type JobEvent =
  | { readonly kind: "stage"; readonly name: string }
  | { readonly kind: "progress"; readonly done: number; readonly total: number | undefined; readonly figures?: string }
  | { readonly kind: "log"; readonly id: string; readonly text: string; readonly level: "note" | "warning" }
  | ({ readonly kind: "writes" } & AnnouncedFiles)
  /** A line that the job or native code wrote to standard output or error. */
  | { readonly kind: "output"; readonly text: string };

export type ToChild =
  | {
      readonly pith: "start";
      readonly module: string;
      readonly input: unknown;
      readonly temporary: string;
      /** The only user modules that the process may import; undefined if it may import any. */
      readonly modules: readonly string[] | undefined;
    }
  | { readonly pith: "stop" };

export type ToParent =
  | { readonly pith: "begun" }
  | { readonly pith: "run"; readonly isRunning: boolean }
  | { readonly pith: "event"; readonly event: JobEvent }
  | { readonly pith: "result"; readonly output: unknown }
  | { readonly pith: "fault"; readonly fault: Fault };

/** Returns whether a message is of these types: loaders and libraries use the channel, too. */
export function isJobMessage<M extends ToChild | ToParent>(message: unknown): message is M {
  return typeof message === "object" && message !== null && "pith" in message;
}

export const changeTime = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.mtimeMs;

export function eventContext(
  settings: Pick<JobContext, "signal" | "temporary">,
  onEvent: (event: JobEvent) => void,
): JobContext {
  return {
    ...settings,
    stage: (name) => onEvent({ kind: "stage", name }),
    progress: (done, total, figures) =>
      onEvent({ kind: "progress", done, total, ...(figures === undefined ? {} : { figures }) }),
    log: ({ id, text, level = "note" }) => onEvent({ kind: "log", id, text, level }),
    writes: (paths) =>
      onEvent({
        kind: "writes",
        owner: process.pid,
        files: paths.map((path) => ({ path, modified: changeTime(path) })),
      }),
  };
}
