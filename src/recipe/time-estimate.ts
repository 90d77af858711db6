/** About how long a run will take, told before it begins from what the original took on the samples. */
import type { Task } from "../evaluate/index.ts";
import { counted, integer, waiting } from "../evaluate/numbers.ts";
import { completeOptions, partFor } from "../run/step.ts";
import type { PassStep } from "./pass-steps.ts";

/** A step of a training runs forwards, and about twice as long backwards. */
const trainingCost = 3;

export interface OriginalTime {
  /** That the original took for all test samples. */
  readonly seconds: number;
  readonly samples: number;
}

/**
 * Seconds that steps take, with the judging behind those that are judged. What a step computes from weights alone is not counted.
 * @param task for the size of its part to train on, and for what its metric runs.
 */
export function stepSeconds(
  steps: readonly PassStep[],
  { seconds, samples }: OriginalTime,
  { train, metric }: Pick<Task, "train" | "metric">,
): number {
  const perSample = seconds / Math.max(1, samples);
  // What holds a model against the original's outputs runs both.
  const judging = seconds * (metric.truth === "original" ? 2 : 1);
  const own = ({ pass, options }: PassStep): number => {
    if (partFor(pass, options) === undefined) return 0;
    const { epochs, samples } = completeOptions(pass, options);
    const some = typeof samples === "number" ? samples : undefined;
    if (typeof epochs !== "number") return (some ?? 0) * perSample;
    return trainingCost * epochs * Math.min(some ?? Number.POSITIVE_INFINITY, train?.count ?? 0) * perSample;
  };
  return steps.reduce((sum, step) => sum + (step.judged ? judging : 0) + own(step), 0);
}

/** "about 4 minutes: 3 steps, each evaluated on 1,000 samples"; undefined for what is over at once. */
export function durationText(
  steps: readonly PassStep[],
  took: OriginalTime,
  task: Pick<Task, "train" | "metric">,
): string | undefined {
  const time = waiting(stepSeconds(steps, took, task));
  if (time === undefined) return undefined;
  const judged = steps.filter((step) => step.judged).length;
  const which = judged < steps.length ? `, ${integer(judged)} of them` : steps.length === 1 ? "" : ", each";
  return `${time}: ${counted(steps.length, "step")}${which} evaluated on ${counted(took.samples, "sample")}`;
}
