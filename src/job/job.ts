/**
 * A job: a function that runs in a process of its own.
 *
 * Why a process: ONNX Runtime runs models synchronously, so it would freeze progress and Ctrl-C; some graphs abort the process they run in;
 * and native memory comes back only when a process ends. What only reads a model is a job as well: while it computes, its thread takes no signal. The module of a job has the function as its default export.
 */

/** How a job talks to the process that started it. */
export interface JobContext {
  /** Aborts when the job should stop. It then has half a second to end by itself, with a result or without; ten where it keeps what it has done. */
  readonly signal: AbortSignal;
  /** An empty folder of this job, removed when it ends, however it ends. */
  readonly temporary: string;
  /** Names what the following progress counts. */
  stage(name: string): void;
  /** `figures` is what the work has come to: "loss 0.2134". */
  progress(done: number, total?: number, figures?: string): void;
  /** A note (what `level` is if not said) or a warning, under an id that stays the same. */
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
}

/** Input and output are copied between processes (structured clone): plain data and typed arrays, no functions. */
export type Job = (input: never, context: JobContext) => Promise<unknown>;

export type JobEvent =
  | { readonly kind: "stage"; readonly name: string }
  | { readonly kind: "progress"; readonly done: number; readonly total: number | undefined; readonly figures?: string }
  | { readonly kind: "log"; readonly id: string; readonly text: string; readonly level: "note" | "warning" }
  /** A line that the job, or native code inside it, wrote to its standard output or error. */
  | { readonly kind: "output"; readonly text: string };
