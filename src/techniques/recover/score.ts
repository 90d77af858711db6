/** Scores a model by its similarity to the original on held-out samples. */

import { partsOf } from "../../core/analysis/measured-parts.ts";
import { mainOutput } from "../../core/analysis/output-kind.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { minus } from "../../core/numbers.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { agreement, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { evaluateAll } from "../../runtime/metrics/evaluate.ts";
import type { Metric } from "../../runtime/metrics/types.ts";

export interface Score {
  /** Signal-to-noise ratio of the outputs in decibels. It decides, because agreement changes little while a model is far from its original. */
  readonly signalToNoise: number;
  readonly agreement: number | undefined;
}

export type Scorer = (model: Model) => Promise<Score>;

/** @throws PithError E_DATA if the original does not fit the data, or if the outputs of a scored model differ. */
export async function scorer(
  original: Model,
  data: Dataset,
  output: string | undefined,
  { engine, signal }: Context,
): Promise<Scorer> {
  const measure = (model: Model, metrics: readonly Metric[]) =>
    evaluateAll(engine, model, data, metrics, { original, signal });
  const { name } = mainOutput(original.graph.outputs, output) ?? {};
  const parts = name === undefined ? undefined : partsOf(original, name);
  const metrics = [signalToNoise({ output, parts }), agreement({ output })];
  // Models with one output value per sample have no classes.
  const reference = await measure(original, metrics).catch((error: unknown) => {
    if (error instanceof PithError && error.code === "E_DATA") return undefined;
    throw error;
  });
  const applicable = reference === undefined ? metrics.slice(0, 1) : metrics;
  return async (model) => {
    const [noise, agreementResult] = await measure(model, applicable);
    return { signalToNoise: noise?.estimate.value ?? Number.NaN, agreement: agreementResult?.estimate.value };
  };
}

/** Minimum improvement in decibels; less can be rounding of the weights. */
const minGain = 0.01;

/** Returns whether a model improved; any number is better than NaN. */
export function isNearer(before: Score, after: Score): boolean {
  if (Number.isNaN(before.signalToNoise)) return !Number.isNaN(after.signalToNoise);
  return after.signalToNoise > before.signalToNoise + minGain;
}

export function scoreText(before: Score, after: Score): string {
  const noise = `signal to noise ${minus(before.signalToNoise.toFixed(1))} → ${minus(after.signalToNoise.toFixed(1))} dB`;
  if (before.agreement === undefined || after.agreement === undefined) return noise;
  const note =
    isNearer(before, after) && after.agreement < before.agreement ? " (lower, but signal to noise decides)" : "";
  return `${noise}, agreement ${(100 * before.agreement).toFixed(1)} → ${(100 * after.agreement).toFixed(1)} %${note}`;
}
