/** Estimates the duration of a run from the original's time on the samples. */
import { counted, integer, waitingText } from "#ir";
import type { Task } from "../../runtime/metrics/metric.ts";
import type { PassStep } from "../recipe/pass-steps.ts";

/** Forward passes per sample of training: 3.7 to 6.8 on four image networks, in batches of 32. */
const trainingCost = 5;

/** Number of calibration samples if the options name none. */
const defaultSamples = 200;

export interface OriginalTime {
  readonly seconds: number;
  readonly samples: number;
}

/** Estimates the seconds of steps from their runs of the model, without computations on weights. */
export function estimateStepSeconds(
  steps: readonly PassStep[],
  { seconds, samples }: OriginalTime,
  { train, calibrate, metric }: Pick<Task, "train" | "calibrate" | "metric">,
): number {
  const secondsPerSample = seconds / Math.max(1, samples);
  // A metric that compares with the original runs both models.
  const evaluationSeconds = seconds * (metric.truth === "original" ? 2 : 1);
  const passSeconds = ({ pass, complete, split }: PassStep): number => {
    if (split === undefined) return 0;
    const { epochs, samples } = complete;
    const sampleLimit = typeof samples === "number" ? samples : undefined;
    if (typeof epochs !== "number") {
      const runs = pass.runsPerSample?.(complete) ?? 1;
      return runs * Math.min(sampleLimit ?? defaultSamples, calibrate?.count ?? 0) * secondsPerSample;
    }
    return (
      trainingCost * epochs * Math.min(sampleLimit ?? Number.POSITIVE_INFINITY, train?.count ?? 0) * secondsPerSample
    );
  };
  return steps.reduce((sum, step) => sum + (step.judged ? evaluationSeconds : 0) + passSeconds(step), 0);
}

const minRoundSeconds = 0.01;

/** Returns "about 4 minutes: 3 steps, each evaluated on 1,000 samples". @param timedRounds rounds of timing, times the models. */
export function durationText(
  steps: readonly PassStep[],
  took: OriginalTime,
  task: Pick<Task, "train" | "calibrate" | "metric">,
  timedRounds = 0,
): string | undefined {
  const roundSeconds = Math.max(minRoundSeconds, took.seconds / Math.max(1, took.samples));
  const time = waitingText(estimateStepSeconds(steps, took, task) + timedRounds * roundSeconds);
  if (time === undefined) return undefined;
  const judgedCount = steps.filter((step) => step.judged).length;
  const fallbackText = steps.some(({ fallsBack }) => fallsBack) ? "; longer if layers need higher precision" : "";
  const countText =
    judgedCount < steps.length ? `, ${integer(judgedCount)} of them` : steps.length === 1 ? "" : ", each";
  return `${time}: ${counted(steps.length, "step")}${countText} evaluated on ${counted(took.samples, "sample")}${fallbackText}`;
}

const minSeconds = 0.5;
const minBatches = 2;

/** Logs the estimated duration once, early in the first evaluation. @param passes number of evaluations. @param now returns seconds. */
export function announceDuration<
  C extends {
    log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
    progress(done: number, total?: number, figures?: string): void;
  },
>(context: C, samples: number | undefined, passes: number, now: () => number = () => performance.now() / 1000): C {
  let start: { readonly done: number; readonly at: number } | undefined;
  let batches = 0;
  let isPending = samples !== undefined;
  return {
    ...context,
    progress(done: number, total?: number, figures?: string) {
      context.progress(done, total, figures);
      if (!isPending || samples === undefined || done === 0) return;
      isPending = done < (total ?? samples);
      if (start === undefined) {
        start = { done, at: now() };
        return;
      }
      batches++;
      const seconds = now() - start.at;
      if (batches < minBatches || seconds < minSeconds) return;
      isPending = false;
      const time = waitingText((seconds / (done - start.done)) * samples * passes);
      const text = `evaluation on all ${counted(samples, "sample")} takes ${time}. To shorten it, set \`samples\``;
      if (time !== undefined) context.log({ id: "duration", text });
    },
  };
}
