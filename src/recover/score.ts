/** How near a model comes to its original on samples that nothing is fitted on: what decides whether a stage helped. */

import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import { agreement, evaluateAll, type Metric, signalToNoise } from "../evaluate/index.ts";
import { minus } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";

export interface Score {
  /** Of the answers, in decibels: what decides. */
  readonly signalToNoise: number;
  /** The share of samples with the same answer, where there are classes to agree on. */
  readonly agreement: number | undefined;
}

export type Scorer = (model: Model) => Promise<Score>;

/** @throws PithError E_DATA if the original does not fit the data, or has no classes, when something is scored that answers otherwise. */
export async function scorer(
  original: Model,
  data: Dataset,
  output: string | undefined,
  { engine, signal }: Context,
): Promise<Scorer> {
  const figures = (model: Model, metrics: readonly Metric[]) =>
    evaluateAll(engine, model, data, metrics, { original, signal });
  const metrics = [signalToNoise({ output }), agreement({ output })];
  // Of one number a sample there are no classes to agree on.
  const known = await figures(original, metrics).catch((error: unknown) => {
    if (error instanceof PithError && error.code === "E_DATA") return undefined;
    throw error;
  });
  const wanted = known === undefined ? metrics.slice(0, 1) : metrics;
  return async (model) => {
    const [noise, agreed] = await figures(model, wanted);
    return { signalToNoise: noise?.estimate.value ?? Number.NaN, agreement: agreed?.estimate.value };
  };
}

/** Decibels that count as better: less may be the rounding of weights. */
const leastGain = 0.01;

/** Whether a model came nearer. What was no number before is better as one. */
export function isNearer(before: Score, after: Score): boolean {
  if (Number.isNaN(before.signalToNoise)) return !Number.isNaN(after.signalToNoise);
  return after.signalToNoise > before.signalToNoise + leastGain;
}

/** "signal to noise 3.1 → 12.4 dB, agreement 61.0 → 88.3 %" */
export function scoreText(before: Score, after: Score): string {
  const noise = `signal to noise ${minus(before.signalToNoise.toFixed(1))} → ${minus(after.signalToNoise.toFixed(1))} dB`;
  if (before.agreement === undefined || after.agreement === undefined) return noise;
  return `${noise}, agreement ${(100 * before.agreement).toFixed(1)} → ${(100 * after.agreement).toFixed(1)} %`;
}
