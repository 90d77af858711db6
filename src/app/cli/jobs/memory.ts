/** Job of `pith bench`: measures the peak memory of one model in a separate process, because the peak is per process. */
import { readFileSync, writeFileSync } from "node:fs";
import { open } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import type { RuntimeName } from "../../../core/engine/runtime.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type TimedShapes, timedFeeds } from "../../../runtime/run/timed-inputs.ts";
import type { BenchInput } from "./bench.ts";
import { constantInputsOf } from "./parts/constant-inputs.ts";
import { startRuntime } from "./parts/start-runtime.ts";

export interface MemoryInput extends Pick<BenchInput, "set" | "threads" | "seed"> {
  readonly runtime: RuntimeName;
  readonly model: string;
  readonly shapes: TimedShapes;
}

export default async function memoryJob(input: MemoryInput, _context: JobContext): Promise<number> {
  const engine = createEngine({ runtime: input.runtime });
  const model = await open(input.model);
  const feeds = timedFeeds(model, input.shapes, input.seed, constantInputsOf(model, input.set));
  // The runtime starts before the measurement, so that its own memory does not count.
  await startRuntime(engine, input.threads);
  const peak = startMemoryMeter();
  const session = await engine.load(model, { threads: input.threads });
  for (let run = 0; run < 3; run++) await session.run(feeds);
  const bytes = peak();
  await session.release();
  return bytes;
}

/** Returns a function that returns the bytes by which the peak of resident memory since then exceeds that at the start. */
export function startMemoryMeter(): () => number {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    const before = linuxPeak();
    return () => Math.max(0, linuxPeak() - before);
  } catch {
    const before = process.memoryUsage.rss();
    const peakBefore = processPeak();
    return () => {
      const peakAfter = processPeak();
      return Math.max(0, (peakAfter > peakBefore ? peakAfter : process.memoryUsage.rss()) - before);
    };
  }
}

/** Returns the peak resident memory in bytes from VmHWM, because `getrusage` includes the parent process. */
function linuxPeak(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error("no VmHWM");
  return Number(kilobytes) * 1024;
}

function processPeak(): number {
  return process.resourceUsage().maxRSS * 1024;
}
