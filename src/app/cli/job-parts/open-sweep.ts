/** Opens model and data for `pith sensitivity`, in the command and in its parallel jobs. */

import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { SweepInput } from "../queue/inputs.ts";
import { requireStored } from "../queue/shared-store.ts";
import { contextOf, openModel } from "./open-model.ts";
import { openRequest } from "./task.ts";

/** Default number of samples. More samples would seldom change which layer is the most sensitive. */
const defaultSamples = 1024;

export async function openSweep(input: SweepInput, context: JobContext) {
  await requireStored(input);
  const engine = createEngine();
  const model = await openModel(input.model, context);
  const { metric, output, timed, data } = input;
  const request = { ...data, samples: data.samples ?? defaultSamples };
  const task = await openRequest(engine, model, request, { metric, output }, input, context);
  return {
    model,
    task,
    options: { batch: data.batch, output, timed, resumeFolder: input.resumeFolder },
    partialContext: contextOf(engine, input, context),
  };
}
