/** Runs a job in this process: for jobs that run no model, where a second process would take most of the time. */
import { throwIfAborted } from "#ir";
import { temporaryFolder } from "../../core/platform/node-temporary.ts";
import type { Job } from "./job.ts";
import type { RunOptions } from "./run.ts";

/** Runs the default export of `module`. @throws what the job throws. */
export async function runHere<J extends Job>(
  module: URL,
  input: Parameters<J>[0],
  { signal = new AbortController().signal, onEvent = () => {} }: Pick<RunOptions, "signal" | "onEvent">,
): Promise<Awaited<ReturnType<J>>> {
  const { default: job }: { default: J } = await import(module.href);
  const temporary = await temporaryFolder();
  try {
    const context = {
      signal,
      temporary: temporary.path,
      stage: (name: string) => onEvent({ kind: "stage", name }),
      progress: (done: number, total?: number) => onEvent({ kind: "progress", done, total }),
      log: ({ id, text, level = "note" }: Parameters<Parameters<J>[1]["log"]>[0]) =>
        onEvent({ kind: "log", id, text, level }),
    };
    const output = (await job(input as never, context)) as Awaited<ReturnType<J>>;
    throwIfAborted(signal);
    return output;
  } finally {
    await temporary.remove();
  }
}
