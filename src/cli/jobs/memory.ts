/** Job that loads and runs one model to measure its memory, which can only be measured by process. */
import { createEngine, type RuntimeName } from "../../engine/index.ts";
import { type TimedShapes, timedFeeds } from "../../evaluate/timed-inputs.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import type { BenchInput } from "./bench.ts";
import { startMeter } from "./meter.ts";
import { startRuntime } from "./runtime.ts";
import { contentsFor } from "./set.ts";

export interface MemoryInput extends Pick<BenchInput, "set" | "threads" | "seed"> {
  readonly runtime: RuntimeName;
  readonly model: string;
  readonly shapes: TimedShapes;
}

/** Bytes that loading and running the model take at their peak, over what the process holds with a runtime and no model. */
export default async function memoryJob(input: MemoryInput, _context: JobContext): Promise<number> {
  const engine = createEngine({ runtime: input.runtime });
  const model = await open(input.model);
  const feeds = timedFeeds(model, input.shapes, input.seed, contentsFor(model, input.set));
  // The runtime's own memory, and the code that loads it, are there before the model is.
  await startRuntime(engine, input.threads);
  const peak = startMeter();
  const session = await engine.load(model, { threads: input.threads });
  for (let run = 0; run < 3; run++) await session.run(feeds);
  const taken = peak();
  await session.release();
  return taken;
}
