/** Checks that a changed model keeps its accuracy above chance. Without labels, the original's predictions are the truth. */
import { counted, figureText, integer } from "#ir";
import { mcnemarExact, wilson } from "../../core/math/confidence-interval.ts";
import type { Predictions } from "./predictions.ts";

/** Returns the accuracy of a constant prediction of the most frequent class. */
export function shareOfMostFrequent(answers: Float64Array): number | undefined {
  const counts = new Map<number, number>();
  let total = 0;
  for (const value of answers) {
    if (value < 0) continue;
    counts.set(value, (counts.get(value) ?? 0) + 1);
    total++;
  }
  return total === 0 ? undefined : Math.max(...counts.values()) / total;
}

/** Minimum share of the possible gain over chance, below which an accuracy has to be significantly better than chance. */
const minGain = 0.05;

/** Returns whether a model is about as accurate as always predicting the most frequent class. @param chance The accuracy of that prediction. */
function isAtChance(accuracy: number, chance: number, samples: number): boolean {
  if (accuracy <= chance) return true;
  return accuracy - chance < minGain * (1 - chance) && wilson(Math.round(accuracy * samples), samples).low <= chance;
}

/** Maximum share of the accuracy above chance that may be lost. */
const maxLostShare = 0.5;
const significance = 0.05;

/** The original's predictions, with their accuracy and chance level. */
export interface OriginalScore {
  readonly name: "accuracy" | "agreement";
  /** Below 0 if unknown. */
  readonly truth: Float64Array;
  readonly predicted: Float64Array;
  readonly original: number;
  /** Accuracy of a constant prediction of the most frequent class. */
  readonly chance: number;
  readonly atChance: boolean;
}

export function originalScoreOf({ predicted, labels }: Predictions): OriginalScore | undefined {
  if (predicted.every((value) => value < 0)) return undefined;
  const isLabeled = labels.some((label) => label >= 0) && labels.every(Number.isInteger);
  const truth = isLabeled ? labels : predicted;
  const chance = shareOfMostFrequent(truth);
  if (chance === undefined) return undefined;
  const correct = correctFlags(predicted, truth).reduce((sum, isRight) => sum + isRight, 0);
  const samples = countLabels(truth);
  const original = correct / samples;
  const atChance = isAtChance(original, chance, samples);
  return { name: isLabeled ? "accuracy" : "agreement", truth, predicted, original, chance, atChance };
}

/** Returns why a model no longer computes the same function. @param unit what the predictions are counted by. */
export function lostFunctionText(
  { name, truth, predicted, original, chance }: OriginalScore,
  other: Predictions,
  unit: "position" | "sample" = "sample",
): string | undefined {
  // A constant prediction of the original can still be contradicted.
  const isConstant = name === "agreement" && chance === 1;
  if (original <= chance && !isConstant) return undefined;
  const [correctBefore, correctNow] = [correctFlags(predicted, truth), correctFlags(other.predicted, truth)];
  const right = correctNow.reduce((sum, isEqual) => sum + isEqual, 0);
  const score = right / countLabels(truth);
  const minScore = isConstant ? maxLostShare : chance + maxLostShare * (original - chance);
  if (score >= minScore) return undefined;
  let [worse, better] = [0, 0];
  for (const [sample, before] of correctBefore.entries()) {
    if (before > (correctNow[sample] ?? 0)) worse++;
    if (before < (correctNow[sample] ?? 0)) better++;
  }
  if (mcnemarExact(worse, better) >= significance) return undefined;
  const baseline = isConstant
    ? "the original predicts the same for all of them"
    : `a constant prediction would reach ${figureText("share", chance)}`;
  if (name === "agreement")
    return `the result agrees with the original on ${integer(right)} of ${counted(truth.length, unit)} (${baseline})`;
  const [from, to] = [original, score].map((value) => figureText("share", value));
  return `accuracy falls from ${from} to ${to} (${counted(truth.length, unit)}; ${baseline})`;
}

function correctFlags(predictions: Float64Array, truth: Float64Array): Float64Array {
  return truth.map((label, sample) => Number(label >= 0 && predictions[sample] === label));
}

function countLabels(truth: Float64Array): number {
  return truth.reduce((sum, label) => sum + Number(label >= 0), 0);
}
