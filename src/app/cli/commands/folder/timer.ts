/** Times the files of a folder relative to their originals on each target. */
import { basename } from "node:path";
import { asPithError } from "#ir";
import type { Settings } from "../../../../judge/task/constant-inputs.ts";
import { relativeProcessorTime } from "../../../../runtime/run/latency.ts";
import type { TargetName } from "../../../../runtime/run/run-target.ts";
import type { FolderOptions } from "../../../folder/folder-run.ts";
import type { FileFigures } from "../../../folder/records.ts";
import type { Session } from "../../command.ts";
import type benchJob from "../../jobs/bench.ts";
import type { BenchInput } from "../../jobs/bench.ts";

/** Rounds of timing on a target, and the seconds after which none begins: of one file, and of the files together. */
const [rounds, maxSeconds, maxTotalSeconds] = [15, 20, 30];

/** Returns a function that times a file and its original, as `bench` does. @param fileCount files that share the time. */
export function createTimer(
  targets: readonly TargetName[],
  set: Settings,
  fileCount: number,
  textFileOf: (source: string) => string,
  { seed, runJob, terminal }: Session,
): NonNullable<FolderOptions["time"]> {
  const seconds = Math.min(maxSeconds, maxTotalSeconds / fileCount);
  const unsupportedTargets = new Set<TargetName>();
  return async ({ source, out }) => {
    const speeds: NonNullable<FileFigures["speeds"]>[number][] = [];
    let work: number | undefined;
    const timing = { set, rounds, seconds, threads: undefined, seed, isInOrder: true } satisfies Partial<BenchInput>;
    for (const target of targets.filter((name) => !unsupportedTargets.has(name))) {
      const warn = (text: string): void => terminal.note("timing", `${basename(out)}: ${text}`, "warning");
      try {
        const input = { ...timing, models: [source, out], dims: [], target, textFile: textFileOf(source) };
        const { latency, where } = await runJob<typeof benchJob>("bench", input, `time ${out}`);
        const [, timed] = latency.models;
        if (target === targets[0]) work = relativeProcessorTime(latency.models, timed);
        if (timed === undefined || latency.unsteady)
          warn(`speed on ${target} was not measured, because the machine was too busy`);
        else {
          const { median: factor, low, high } = timed.speedup;
          speeds.push({ target, where, factor, low, high, milliseconds: timed.milliseconds.median });
        }
      } catch (error) {
        const { code, message } = asPithError(error);
        warn(message);
        // This target cannot time any file.
        if (code === "E_UNSUPPORTED") unsupportedTargets.add(target);
      }
    }
    return { speeds, work };
  };
}
