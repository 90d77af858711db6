/** Scores a model by how near its outputs are to the original's on held-out samples. */
import { mainOutput, outputPartsOf } from "#analysis";
import type { Dataset } from "#batches";
import { type Model, PithError, withMinusSign } from "#ir";
import type { Context } from "#pass";
import { agreement, meanKl, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { measure } from "../../runtime/metrics/evaluate.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";

export interface Score {
  /** Signal-to-noise ratio of the outputs in decibels. */
  readonly signalToNoise: number;
  readonly agreement?: number | undefined;
  /** Mean KL divergence of the class probabilities from the original's. */
  readonly divergence?: number | undefined;
}

export type Scorer = (model: Model) => Promise<Score>;

/** @throws PithError E_DATA if the original does not fit the data, or if the outputs of a scored model differ. */
export async function scorer(
  original: Model,
  data: Dataset,
  output: string | undefined,
  { engine, signal }: Context,
): Promise<Scorer> {
  // The original runs once.
  const valuesOf = async (model: Model, metrics: readonly Metric[]): Promise<readonly number[]> => {
    const rows = await measure(engine, [original, model], data, metrics, { remembered: original, signal });
    return metrics.map((metric, index) => metric.reduce(rows[1]?.[index] ?? new Float64Array()));
  };
  const { name } = mainOutput(original.graph.outputs, output) ?? {};
  const parts = name === undefined ? undefined : outputPartsOf(original, name);
  const metrics = [signalToNoise({ output, parts }), agreement({ output }), meanKl({ output })];
  // Models with one output value per sample have no classes.
  const reference = await valuesOf(original, metrics).catch((error: unknown) => {
    if (error instanceof PithError && error.code === "E_DATA") return undefined;
    throw error;
  });
  const applicable = reference === undefined ? metrics.slice(0, 1) : metrics;
  return async (model) => {
    const [noise = Number.NaN, agreement, divergence] = await valuesOf(model, applicable);
    return { signalToNoise: noise, agreement, divergence };
  };
}

/** Minimum improvement in decibels: less can be rounding of the weights; or if the divergence of classes rises, less is not worth it. */
const [minGain, minGainForClasses] = [0.01, 1];
/** Rise of the divergence, in nats, that can be rounding. */
const minRise = 1e-6;

/** Returns whether a model improved; any number is better than NaN. */
export function isImprovement(before: Score, after: Score): boolean {
  if (Number.isNaN(before.signalToNoise)) return !Number.isNaN(after.signalToNoise);
  const isFurther = (after.divergence ?? 0) > (before.divergence ?? 0) + minRise;
  return after.signalToNoise > before.signalToNoise + (isFurther ? minGainForClasses : minGain);
}

export function scoreText(before: Score, after: Score): string {
  const noise = `signal to noise ${withMinusSign(before.signalToNoise.toFixed(1))} → ${withMinusSign(after.signalToNoise.toFixed(1))} dB`;
  if (before.agreement === undefined || after.agreement === undefined) return noise;
  return `${noise}, agreement ${(100 * before.agreement).toFixed(1)} → ${(100 * after.agreement).toFixed(1)} %, KL divergence ${before.divergence?.toPrecision(3)} → ${after.divergence?.toPrecision(3)}`;
}
