/** Measures a candidate on the search samples: bytes, drop, and if the objective depends on it, speed. */
import { judge } from "../judge/compare/goal.ts";
import type { Evaluation, Evaluator } from "../judge/measure/evaluator.ts";
import { isBySize, type Objective, type Purpose, type Tradeoff } from "../judge/measure/objective.ts";
import type { Attempt } from "../judge/run/attempt.ts";
import { speedOfAttempt, timeFiles } from "../judge/run/timing.ts";
import type { Store } from "../judge/steps/store.ts";
import type { Metric } from "../runtime/metrics/metric.ts";
import type { RunTarget } from "../runtime/run/run-target.ts";

export interface TradeoffOptions {
  readonly evaluator: Evaluator;
  readonly objective: Objective;
  readonly purpose: Purpose | undefined;
  readonly metric: Metric;
  readonly store: Store;
  readonly targets: readonly RunTarget[] | undefined;
  readonly timingKey: unknown;
}

const timingRounds = 7;

/** Returns undefined if the candidate has no finite metric value or does not change the model. */
export async function measureTradeoff(attempt: Attempt, options: TradeoffOptions): Promise<Tradeoff | undefined> {
  const { evaluation, variant } = attempt;
  if (evaluation === undefined || variant.rejectedAs === "unchanged") return undefined;
  const drop = dropOf(evaluation, options.metric);
  if (!Number.isFinite(drop)) return undefined;
  const { evaluator, purpose } = options;
  const { measured } = evaluation;
  return {
    size: await evaluator.sizeFor(purpose, measured),
    speed: await measureSpeed(attempt, evaluation, options),
    drop,
  };
}

/** Returns the drop on the samples of the comparison and the validation samples together. */
function dropOf({ comparison, agreement, validation }: Evaluation, { truth, interval }: Metric): number {
  const parts = [{ comparison, agreement }, ...(validation === undefined ? [] : [validation])].map((part) => ({
    ...judge(part.comparison, { maxDrop: 0 }).drop,
    changed: 1 - (part.agreement?.value ?? 1),
  }));
  const samples = parts.reduce((sum, { count }) => sum + count, 0);
  const mean = (field: "value" | "changed"): number =>
    parts.reduce((sum, part) => sum + (part[field] * part.count) / samples, 0);
  const isAccuracy = truth !== "original" && interval === "proportion";
  return isAccuracy ? estimateDrop({ drop: mean("value"), changed: mean("changed"), samples }) : mean("value");
}

const netLossShare = 0.4;
const netLossDeviation = 0.15;

/**
 * Estimates the drop of accuracy on other samples. With few samples, the measured difference d₁ is mostly noise, but the share f of changed
 * predictions is precise. About 0.4 of these changes are a net loss (0.33 to 0.45 for ResNet-20 in 4 bits).
 * For n samples, both estimates are weighted by their inverse variances:
 *
 *     d₁ = (lost − gained) / n     variance f / n
 *     d₂ = 0.4 f                   variance (0.15 f)² + 0.4² f (1 − f) / n
 */
export function estimateDrop(measurement: {
  readonly drop: number;
  /** Share of predictions that differ from the original's. */
  readonly changed: number;
  readonly samples: number;
}): number {
  const { drop, changed: f, samples: n } = measurement;
  if (f <= 0) return drop;
  const [variance, changeVariance] = [f / n, (netLossDeviation * f) ** 2 + (netLossShare ** 2 * f * (1 - f)) / n];
  return (drop / variance + (netLossShare * f) / changeVariance) / (1 / variance + 1 / changeVariance);
}

/** Returns undefined if irrelevant, 0 if required but not measurable. Timings of a busy machine are not recorded. */
async function measureSpeed(
  attempt: Attempt,
  { measured }: Evaluation,
  { evaluator, objective, store: { records }, targets, timingKey }: TradeoffOptions,
): Promise<number | undefined> {
  if (isBySize(objective)) return undefined;
  const target = targets?.[0]?.name;
  const key = { speed: measured.sha256, beside: evaluator.original.measured.sha256, timed: timingKey, target };
  const recordedSpeed = (await records?.read(key)) as number | undefined;
  if (recordedSpeed !== undefined) return recordedSpeed;
  const timing = await timeFiles(evaluator, [attempt], { rounds: timingRounds, targets }, { log: () => {} });
  const speed = speedOfAttempt(timing, 0);
  if (speed !== undefined && timing?.unsteady !== true) await records?.write(key, speed);
  return speed ?? (objective.id === "faster" ? 0 : undefined);
}
