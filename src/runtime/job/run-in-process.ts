/** Runs a job in this process: for jobs that run no model, where a second process would take most of the time. */
import { throwIfAborted } from "#ir";
import { temporaryFolder } from "../../core/platform/node-temporary.ts";
import { eventContext, type Job } from "./job.ts";
import type { RunJobOptions } from "./run.ts";

export async function runInProcess<J extends Job>(
  module: URL,
  input: Parameters<J>[0],
  { signal = new AbortController().signal, onEvent = () => {} }: Pick<RunJobOptions, "signal" | "onEvent">,
): Promise<Awaited<ReturnType<J>>> {
  const { default: job }: { default: J } = await import(module.href);
  const temporary = await temporaryFolder();
  try {
    const context = eventContext({ signal, temporary: temporary.path }, onEvent);
    const output = (await job(input as never, context)) as Awaited<ReturnType<J>>;
    throwIfAborted(signal);
    return output;
  } finally {
    await temporary.remove();
  }
}
