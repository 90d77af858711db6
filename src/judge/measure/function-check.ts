/** Checks that a result still computes the same outputs as its original, on samples, texts or random inputs. */
import type { Dataset } from "#batches";
import { asPithError, dataError, type Model, stripPeriod, uncapitalize } from "#ir";
import type { Context } from "#pass";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { ResultError, requireLoads, type WatchedEngine } from "../../runtime/run/load-check.ts";
import { compareOnSamples, functionLossTextOf, minVerdictSamples } from "../compare/compare-function.ts";
import type { Comparison } from "../compare/goal.ts";
import { findHalfOverflow } from "../compare/half-overflow.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { ComparedResult } from "../record/run-record.ts";
import { isTraining } from "../steps/step-options.ts";

export interface FunctionCheck extends Pick<ComparedResult, "likeness" | "others"> {
  readonly functionLoss: FunctionLoss | undefined;
}

export interface FunctionLoss {
  readonly text: string;
  /** "form": an output is missing or has another type or shape; "function": wrong values; "overflow": values exceed float16. */
  readonly because: "form" | "function" | "overflow";
}

/** "answers": all training steps learn the original's outputs, so predictions must be kept. "labels": a step can change predictions. */
export type TrainingTargets = "none" | "answers" | "labels";

/** Without steps, a model is judged as it is. */
export function trainingOf(steps: readonly Pick<PassStep, "pass" | "options">[]): TrainingTargets {
  if (steps.length === 0) return "answers";
  const training = steps.filter(({ pass }) => isTraining(pass));
  if (training.length === 0) return "none";
  const learnsOriginal = ({ pass: { learnsAnswers, reference }, options }: (typeof training)[number]): boolean =>
    learnsAnswers === true && (options[reference ?? ""] ?? "original") === "original";
  return training.every(learnsOriginal) ? "answers" : "labels";
}

export interface FunctionCheckRequest {
  readonly test: Dataset | undefined;
  readonly comparison: Comparison | undefined;
  readonly trained: TrainingTargets;
  readonly output: string | undefined;
  /** Whether an error of the comparison is returned as a reason, instead of being thrown. */
  readonly forced: boolean;
}

/** Returns the original with only the outputs that the result has. */
export function withOutputsOf(original: Model, result: Model): Model {
  const names = new Set(result.graph.outputs.map(({ name }) => name));
  if (original.graph.outputs.every(({ name }) => names.has(name))) return original;
  const reference = original.clone();
  reference.graph.setOutputs(reference.graph.outputs.filter(({ name }) => names.has(name)));
  return reference;
}

/** A metric of distances needs all outputs: a constant can be as close by the cosine, if embeddings have a large common part. */
function comparesAll(byMetric: Comparison | undefined, trainingTargets: TrainingTargets): boolean {
  if (byMetric === undefined) return true;
  const isFew = byMetric.difference.count < minVerdictSamples && trainingTargets === "none";
  return isFew || isDistance(byMetric);
}

const isDistance = ({ truth, unit }: Pick<Metric, "truth" | "unit">): boolean =>
  truth === "original" && unit !== "share";

/** @throws ResultError if the result does not load, PithError E_DATA if nothing can be compared without data. */
export async function checkFunction(
  { engine, seed, signal, progress }: Context & { readonly engine: WatchedEngine },
  original: Model,
  result: Model,
  { test, comparison: byMetric, trained, output, forced }: FunctionCheckRequest,
): Promise<FunctionCheck> {
  const models = { engine, original, result };
  const options = { output, seed, signal, progress };
  const attempt = async <T>(work: Promise<T>): Promise<T | string> =>
    work.catch((error: unknown) => {
      const pithError = asPithError(error);
      if (pithError instanceof ResultError || pithError.code === "E_STOPPED") throw error;
      const hint = "The result could not be compared with the original, and was not written: `force` writes it.";
      if (!forced) throw pithError.reworded({ hint: pithError.hint ?? hint });
      return uncapitalize(stripPeriod(pithError.message));
    });
  const isAll = comparesAll(byMetric, trained);
  const values = trained === "labels" ? "none" : isAll ? "all" : "all but the answer";
  const comparison = await attempt(compareOnSamples(models, test, { ...options, values }));
  const [likeness, otherLikeness] = test === undefined || isAll ? [comparison, undefined] : [undefined, comparison];
  const text = functionLossTextOf(comparison);
  const isOtherForm = typeof comparison === "object" && comparison.otherForm === true;
  const overflow = text === undefined ? await attempt(findHalfOverflow(models, test, { seed, signal })) : undefined;
  await requireLoads(engine, result, original);
  // With data, the metric shows what the result has lost. Without data, nothing does.
  if (test === undefined && typeof likeness === "string" && text === undefined && !forced)
    throw dataError(`The result could not be compared with the original: ${likeness}.`, {
      hint: "Provide samples (`data`); `force` writes the result uncompared.",
    });
  if (text !== undefined)
    return { likeness, others: otherLikeness, functionLoss: { text, because: isOtherForm ? "form" : "function" } };
  return {
    likeness,
    others: otherLikeness,
    functionLoss: overflow === undefined ? undefined : { text: overflow, because: "overflow" },
  };
}
