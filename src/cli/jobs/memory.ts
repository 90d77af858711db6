/** Job that loads and runs one model, to see what memory that takes: memory can only be told apart by process. */
import { createEngine } from "../../engine/index.ts";
import { parseModel } from "../../graph/text.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { madeUpFeeds, namedSizes } from "../feeds.ts";

export interface MemoryInput {
  readonly model: string;
  readonly dims: readonly string[];
  readonly threads: number | undefined;
  readonly seed: number;
}

/** Bytes of resident memory at their peak, over what the process takes with a runtime and no model. */
export default async function memoryJob(input: MemoryInput, _context: JobContext): Promise<number> {
  const engine = createEngine();
  const model = await open(input.model);
  const feeds = madeUpFeeds(model, namedSizes(input.dims), input.seed);
  // The runtime's own memory, and the code that loads it, are there before the model is.
  const nothing = parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Identity(x)\n}\n");
  await (await engine.load(nothing)).release();
  const before = process.memoryUsage.rss();
  const session = await engine.load(model, input.threads === undefined ? {} : { threads: input.threads });
  for (let run = 0; run < 3; run++) await session.run(feeds);
  await session.release();
  // The system counts kilobytes.
  return Math.max(0, process.resourceUsage().maxRSS * 1024 - before);
}
