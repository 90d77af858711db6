/** Measures the speed of a result relative to another model. */
import type { Dataset } from "#batches";
import { allNodes, bytes, dimsText, Miss, type Model, storedBytes, stripPeriod } from "#ir";
import type { Context } from "#pass";
import { type Spread, spread } from "../../runtime/run/latency.ts";
import { type PairedRunTimes, relativeTime } from "../../runtime/run/relative-time.ts";
import { maxTimedBytes } from "../../runtime/run/size-limits.ts";

/** Speed on one thread relative to the other model, measured in one process. A median of 2 means half the time. */
export interface Speed extends Spread {
  /** Processor time per run in milliseconds, of the other model (`before`) and of the result (`milliseconds`). */
  readonly before: number;
  readonly milliseconds: number;
}

export type MeasuredSpeed = { readonly against: string } & (Speed | { readonly unmeasured: string });

/** Returns undefined if operators, and types and dimensions of stored inputs, are equal: the speed is then equal, too, and is not measured. */
export async function measureSpeed(
  result: Model,
  { model, path }: { readonly model: Model; readonly path: string },
  context: Context,
  samples?: Dataset,
): Promise<MeasuredSpeed | undefined> {
  if (operatorsOf(model) === operatorsOf(result)) return undefined;
  const speed = await measureRelativeSpeed(model, result, context, samples);
  return { against: path, ...(speed instanceof Miss ? { unmeasured: stripPeriod(speed.reason) } : speed) };
}

export async function measureRelativeSpeed(
  original: Model,
  result: Model,
  context: Context,
  samples: Dataset | undefined,
): Promise<Speed | Miss> {
  if (storedBytes(original.graph) > maxTimedBytes) return new Miss(`the model has more than ${bytes(maxTimedBytes)}`);
  const times = await relativeTime(original, result, context, samples);
  return times instanceof Miss ? times : speedOf(times);
}

const operatorsOf = ({ graph }: Model): string =>
  Array.from(allNodes(graph), ({ domain, op, inputs }) => {
    const weights = inputs.map((input) =>
      input?.tensor === undefined ? "" : input.tensor.type + dimsText(input.tensor.dims),
    );
    return [domain, op, ...weights].join(" ");
  }).join("\n");

/** Factor between measurements of one model in several processes on a busy machine. */
const timingNoise = 1.12;

/** Returns the speed with the 10th and 90th percentile over the series of runs, and at least the difference between processes. */
export function speedOf({ before, after, ratios }: PairedRunTimes): Speed {
  const median = before / after;
  const { low, high } = spread(Float64Array.from(ratios));
  return {
    median,
    low: Math.min(low, median / timingNoise),
    high: Math.max(high, median * timingNoise),
    before,
    milliseconds: after,
  };
}
