/** Splits samples between the search of the precision fallback and the evaluation of its result. */
import { type Dataset, isIndexed, view } from "#batches";
import { allowance, difference, Miss, type Model } from "#ir";
import type { Context } from "#pass";
import type { Task } from "../../runtime/metrics/metric.ts";
import { minDecibels } from "../../runtime/noise/layer-differences.ts";
import type { TextInputs } from "../../runtime/run/realistic-inputs.ts";
import { compareOnSamples, functionLossTextOf, type Likeness } from "../compare/compare-function.ts";
import { type Comparison, type Goal, isWithin, judge } from "../compare/goal.ts";
import { divideSamples, minDividedSamples } from "../measure/holdout.ts";
import { Looks } from "../measure/looks.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult } from "../measure/paired-metrics.ts";
import { findLostKnowledge } from "../measure/rejection-cause.ts";
import type { FallbackJudge, FallbackVerdict } from "./precision-fallback.ts";

/** Compares models on the samples that are not for the search. */
export interface OtherSamples {
  /** Number of samples for the search. */
  readonly searched: number;
  compare(model: Model): Promise<PairedResult>;
}

/** @returns a Miss if there are too few samples. */
export async function separateSearchSamples(
  original: Model,
  task: Pick<Task, "test" | "metric">,
  options: PairedMetricsOptions,
  goal: Goal,
  context: Context,
): Promise<Miss | (OtherSamples & { readonly search: FallbackJudge })> {
  const { test } = task;
  if (!isIndexed(test) || task.metric.gathered !== undefined) {
    // Samples that must run in order, or together, are run once, and the rows are split afterwards.
    const metrics = await PairedMetrics.create(original, task, { ...options, choice: true }, context);
    const { validation } = metrics;
    if (validation === undefined) return new Miss(tooFewSamples);
    const samples = isIndexed(test) ? view(test, test.name, validation.samples) : test;
    const measure = async (model: Model) => verdictOf((await metrics.compare(model)).validation, goal);
    const compare = (model: Model) => metrics.compare(model);
    return { searched: validation.samples.length, search: { samples, measure }, compare };
  }
  const division = divideSamples(test.count, false);
  if (division === undefined) return new Miss(tooFewSamples);
  const comparerOn = (samples: Dataset) => {
    const looks = Looks.drawSamples(original, { ...task, test: samples }, options, context);
    return (model: Model): Promise<PairedResult> => looks.compare(model, goal);
  };
  const samples = view(test, test.name, division.validation);
  const compareSearched = comparerOn(samples);
  const measure = async (model: Model) => verdictOf(await compareSearched(model), goal);
  const compare = comparerOn(view(test, test.name, division.test));
  return { searched: samples.count, search: { samples, measure }, compare };
}

const tooFewSamples = `there are too few samples for both the search and the evaluation: ${minDividedSamples} for the test are needed`;

/** Standard errors by which the drop must be below the maximum. With one, a MobileNetV2 lost 4.2 points on other samples. */
const marginErrors = 2;

function verdictOf(
  pairedResult: Pick<PairedResult, "comparison" | "lostKnowledge"> | undefined,
  goal: Goal,
): FallbackVerdict {
  if (pairedResult === undefined) return { met: "no", text: "not measured" };
  const { comparison } = pairedResult;
  const lostSentence = findLostKnowledge(pairedResult, goal);
  if (lostSentence !== undefined) return { met: "no", text: lostSentence };
  const { drop, verdict } = judge(comparison, goal);
  const isClearlyMet = verdict === "kept" || isWithin({ value: upperDropOf(comparison, goal) }, goal);
  const met = isClearlyMet ? "clearly" : verdict !== "lost" && isWithin(drop, goal) ? "barely" : "no";
  const { unit } = comparison;
  const text = drop.value > 0 ? `${allowance(unit, drop.value)} lost` : difference(unit, -drop.value);
  return { met, text, lossRatio: lossRatioOf(comparison, goal) };
}

function upperDropOf(comparison: Comparison, goal: Goal): number {
  const { drop } = judge(comparison, goal);
  return drop.value + marginErrors * Math.sqrt(comparison.variance / drop.count);
}

/** Returns undefined if nothing may be lost. */
export function lossRatioOf(comparison: Comparison, goal: Goal): number | undefined {
  return goal.maxDrop > 0 ? Math.max(minLossRatio, upperDropOf(comparison, goal) / goal.maxDrop) : undefined;
}

/** Smaller drops, and gains, are chance. */
const minLossRatio = 0.1;

/** Returns undefined for outputs that are not floats or do not depend on the inputs. */
export const noiseRatioOf = ({ unmoved, same, signalToNoise }: Likeness): number | undefined =>
  unmoved === undefined && same === undefined ? 10 ** ((minDecibels - signalToNoise) / 10) : undefined;

/** Maximum number of texts or random inputs per attempt. */
const attemptSamples = 8;

/** Compares outputs on texts, or on random inputs, other than those of the final comparison. */
export function createJudgeWithoutData(
  original: Model,
  texts: TextInputs | undefined,
  output: string | undefined,
  context: Context,
): FallbackJudge {
  const { engine, seed, signal } = context;
  return {
    samples: texts?.calibrate,
    async measure(model) {
      const options = { output, samples: attemptSamples, seed: seed + 1, signal };
      const likeness = await compareOnSamples({ engine, original, result: model }, texts?.calibrate, options);
      if (typeof likeness !== "object") return { met: "no", text: likeness ?? "not measured" };
      const lossRatio = noiseRatioOf(likeness);
      const lossText = functionLossTextOf(likeness);
      const met = lossText !== undefined ? "no" : lossRatio === undefined || lossRatio <= 1 ? "clearly" : "barely";
      const text = lossText ?? `the signal to noise is ${likeness.signalToNoise.toFixed(1)} dB`;
      return { met, text, lossRatio };
    },
  };
}
