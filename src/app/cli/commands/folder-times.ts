/** Times the files of a folder on the target runtimes. */
import { basename } from "node:path";
import { asPithError, Miss } from "../../../core/errors.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import { workOf } from "../../../runtime/run/latency.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import type { FileFigures } from "../../folder/records.ts";
import type { FolderOptions } from "../../folder/run.ts";
import type { Session } from "../command.ts";
import type benchJob from "../jobs/bench.ts";

type TargetSpeed = NonNullable<FileFigures["speeds"]>[number];

/** Rounds of timing, and the maximum seconds for all of them. */
const [rounds, seconds] = [15, 20];

/** Returns a function that times a file and its original on each target, as `bench` does. If this fails, the function logs a warning. */
export function createTimer(
  targets: readonly TargetName[],
  set: Settings,
  session: Session,
): NonNullable<FolderOptions["time"]> {
  const unsupported = new Set<TargetName>();
  return async ({ source, out }) => {
    const speeds: TargetSpeed[] = [];
    let work: number | undefined;
    for (const target of targets.filter((name) => !unsupported.has(name))) {
      const warn = (text: string): void => session.terminal.note("timing", `${basename(out)}: ${text}`, "warning");
      try {
        const { speed, work: relativeWork } = await measureSpeed([source, out], target, set, session);
        if (target === targets[0]) work = relativeWork;
        if (speed instanceof Miss) warn(`speed on ${target} not measured, ${speed.reason}`);
        else speeds.push(speed);
      } catch (error) {
        const { code, message } = asPithError(error);
        warn(message);
        // This target cannot time any file, so it is not tried again.
        if (code === "E_UNSUPPORTED") unsupported.add(target);
      }
    }
    return { speeds, work };
  };
}

/**
 * Times a file relative to its original. @returns also the processor time of a run relative to the original (`work`); undefined if the system does
 * not tell processor times. @throws PithError E_UNSUPPORTED if the target cannot time models; errors of loading and running.
 */
async function measureSpeed(
  models: readonly [original: string, file: string],
  target: TargetName,
  set: Settings,
  { seed, job }: Session,
): Promise<{ readonly speed: TargetSpeed | Miss; readonly work: number | undefined }> {
  const input = { models, target, dims: [], set, rounds, seconds, threads: undefined, seed, inOrder: true };
  const { latency, where } = await job<typeof benchJob>("bench", input, `time ${models[1]}`);
  const [, timed] = latency.models;
  const work = workOf(latency.models, timed);
  if (timed === undefined || latency.unsteady) return { speed: new Miss("the machine was too busy"), work };
  const { median: factor, low, high } = timed.speedup;
  return { speed: { target, where, factor, low, high, milliseconds: timed.milliseconds.median }, work };
}
