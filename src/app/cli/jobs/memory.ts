/** Job that loads and runs one model in a separate process, because memory can only be measured per process. */
import { createEngine, type RuntimeName } from "../../../core/engine/index.ts";
import { open } from "../../../core/onnx/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type TimedShapes, timedFeeds } from "../../../runtime/run/timed-inputs.ts";
import type { BenchInput } from "./bench.ts";
import { startMeter } from "./meter.ts";
import { startRuntime } from "./runtime.ts";
import { contentsFor } from "./set.ts";

export interface MemoryInput extends Pick<BenchInput, "set" | "threads" | "seed"> {
  readonly runtime: RuntimeName;
  readonly model: string;
  readonly shapes: TimedShapes;
}

export default async function memoryJob(input: MemoryInput, _context: JobContext): Promise<number> {
  const engine = createEngine({ runtime: input.runtime });
  const model = await open(input.model);
  const feeds = timedFeeds(model, input.shapes, input.seed, contentsFor(model, input.set));
  // Excludes the memory of the runtime and its code.
  await startRuntime(engine, input.threads);
  const peak = startMeter();
  const session = await engine.load(model, { threads: input.threads });
  for (let run = 0; run < 3; run++) await session.run(feeds);
  const taken = peak();
  await session.release();
  return taken;
}
