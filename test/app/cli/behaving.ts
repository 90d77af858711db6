/** Jobs whose input names what they do, each in a separate process. */
import { pathToFileURL } from "node:url";
import type { JobEvent } from "../../../src/runtime/job/job.ts";
import type { RunJobOptions } from "../../../src/runtime/job/run.ts";
import type behave from "./jobs/behave.ts";
import type { Behaviour } from "./jobs/behave.ts";
import { compiled } from "./run.ts";

// A compiled process starts in a tenth of the time of one from sources.
export const address = (name: string): URL => pathToFileURL(compiled(name));
export const { runJob }: typeof import("../../../src/runtime/job/run.ts") = await import(
  address("runtime/job/run.js").href
);

const module = address("jobs/behave.js");
export const run = (input: Behaviour, options?: RunJobOptions): Promise<unknown> =>
  runJob<typeof behave>(module, input, options);

export async function failure(input: Behaviour, options?: RunJobOptions): Promise<Error> {
  const error = await run(input, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Error)) throw new Error("the job did not fail");
  return error;
}

/** Aborts as soon as the job has started to work. */
export function stopOnStage(): { options: RunJobOptions; began: () => number } {
  const controller = new AbortController();
  let at = 0;
  const onEvent = (event: JobEvent): void => {
    if (event.kind !== "stage") return;
    at = performance.now();
    // Waits until the blocking job has blocked.
    setTimeout(() => controller.abort(), 100);
  };
  return { options: { signal: controller.signal, onEvent, grace: 500 }, began: () => at };
}
