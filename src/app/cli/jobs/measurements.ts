/** Job that runs some measurements of `pith sensitivity`, and stores their results where the command finds them. */
import type { JobContext } from "../../../runtime/job/job.ts";
import { measureIn } from "../../../search/sensitivity/sensitivity.ts";
import { openSweep } from "../job-parts/open-sweep.ts";
import type { MeasurementsInput } from "../queue/inputs.ts";

export default async function measurementsJob(input: MeasurementsInput, context: JobContext): Promise<void> {
  const { model, task, options, partialContext: running } = await openSweep(input, context);
  await measureIn(model, task, options, input.measurements, running);
}
