/** Job that loads and runs one model, to see what memory that takes: memory can only be told apart by process. */
import { readFileSync, writeFileSync } from "node:fs";
import { createEngine } from "../../engine/index.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { madeUpFeeds, namedSizes } from "../feeds.ts";
import { startRuntime } from "./runtime.ts";

export interface MemoryInput {
  readonly model: string;
  readonly runtime: "wasm" | undefined;
  readonly dims: readonly string[];
  readonly threads: number | undefined;
  readonly seed: number;
}

/** Bytes that loading and running the model take at their peak, over what the process holds with a runtime and no model. */
export default async function memoryJob(input: MemoryInput, _context: JobContext): Promise<number> {
  const engine = createEngine(input.runtime === undefined ? {} : { runtime: input.runtime });
  const model = await open(input.model);
  const feeds = madeUpFeeds(model, namedSizes(input.dims), input.seed);
  // The runtime's own memory, and the code that loads it, are there before the model is.
  await startRuntime(engine, input.threads);
  const peak = startMeter();
  const session = await engine.load(model, input.threads === undefined ? {} : { threads: input.threads });
  for (let run = 0; run < 3; run++) await session.run(feeds);
  const taken = peak();
  await session.release();
  return taken;
}

/**
 * Watches resident memory from here on: what is returned tells by how many bytes its peak lies above where it stands now.
 *
 * Linux keeps the peak and can start it anew. Elsewhere the peak is that of the whole process, which may lie before this moment: where
 * it did not move, the memory held at the end stands for it.
 */
function startMeter(): () => number {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    const before = linuxPeak();
    return () => Math.max(0, linuxPeak() - before);
  } catch {
    const before = process.memoryUsage.rss();
    const earlier = processPeak();
    return () => {
      const later = processPeak();
      return Math.max(0, (later > earlier ? later : process.memoryUsage.rss()) - before);
    };
  }
}

/** The high-water mark of this process alone: what `getrusage` says includes the process that started it. */
function linuxPeak(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error("no VmHWM");
  return Number(kilobytes) * 1024;
}

function processPeak(): number {
  return process.resourceUsage().maxRSS * 1024;
}
