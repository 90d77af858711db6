/** Sentences about the result of a run: size, speed, accuracy and whether the goal is met. The command line and the reports show them. */
import type { ChangeTexts, Unit } from "#ir";
import {
  allowance,
  bytes,
  capitalize,
  changeTexts,
  confidenceText,
  counted,
  difference,
  figureText,
  integer,
  intervalNote,
  intervalText,
  percent,
  speedText,
  times,
  unitOfChange,
} from "#ir";
import type { Change } from "#pass";
import { relativeProcessorTime, type Spread } from "../../runtime/run/latency.ts";
import { type Likeness, minVerdictSamples } from "../compare/compare-function.ts";
import { type Comparison, defaultDrop, type Goal, isBroken, isWithin, judge, type Verdict } from "../compare/goal.ts";
import type { TargetCheck } from "../compare/target-check.ts";
import type { Measured, Run, Timing, Variant } from "./run-record.ts";
import { adviseOnSamples, minSamplesToDecide, type UnusedSamples } from "./sample-advice.ts";

export interface RunOutcome {
  /** Such as "goal met". */
  readonly word: string;
  readonly mood: "good" | "doubt" | "bad";
}

export function chosenOf(run: Run): (Variant & { readonly result: Measured }) | undefined {
  const variant = run.chosen === undefined ? undefined : run.variants[run.chosen];
  return variant?.result === undefined ? undefined : { ...variant, result: variant.result };
}

export function outcomeOf(run: Run): RunOutcome {
  const chosenVariant = chosenOf(run);
  if (chosenVariant === undefined) return { word: "rejected", mood: "bad" };
  if (run.data.atChance !== undefined) return { word: "original at chance", mood: "doubt" };
  if (chosenVariant.verdict === undefined) return { word: "measured", mood: "good" };
  if (isIdentical(run)) return { word: "identical", mood: "good" };
  const { verdict, met } = chosenVariant.verdict;
  const undecided = met ? "needs more samples" : "goal missed";
  const word = { kept: "goal met", undecided, lost: "goal missed" }[verdict];
  return { word, mood: verdict === "kept" ? "good" : met ? "doubt" : "bad" };
}

/** The original's metric value is then perfect by definition and has no interval. */
export function comparesWithOriginal({ variants }: Pick<Run, "variants">): boolean {
  return variants.some(({ comparison }) => comparison?.truth === "original");
}

/** Returns undefined if nothing was timed, or other processes kept the machine too busy. */
export function steadyTimingOf({ latency }: Pick<Run, "latency">): Timing | undefined {
  return latency?.unsteady === true ? undefined : latency;
}

export function speedupOf(run: Pick<Run, "latency">, variant: number | undefined): Spread | undefined {
  return variant === undefined ? undefined : steadyTimingOf(run)?.models[variant + 1]?.speedup;
}

/** Returns "7.87 × smaller and 2.15 × as fast (most runs: 2.05–2.21)." */
export function gainSentence(run: Run): string {
  const chosenVariant = chosenOf(run);
  if (chosenVariant === undefined) {
    if (run.variants.length === 0) return "Nothing was tried.";
    return run.variants.length === 1 ? "The result was rejected." : "Nothing was kept: every candidate was rejected.";
  }
  const size = sizeText(run.original, chosenVariant.result);
  const note = metadataNote(run.original);
  return `${gainText(run, size)}${note === undefined ? "" : ` Not counted: ${note}.`}`;
}

/** Returns "Download (brotli): 993 kB → 61.5 kB." */
export function downloadSentence(run: Run): string | undefined {
  const [before, after] = [run.original, chosenOf(run)?.result];
  if (before.brotli === undefined || after?.brotli === undefined) return undefined;
  return `Download (${brotliTitle(before, after)}): ${bytes(before.brotli)} → ${bytes(after.brotli)}.`;
}

export function brotliTitle(...files: readonly (Pick<Measured, "sampled"> | undefined)[]): string {
  return files.some((file) => file?.sampled === true) ? "brotli, estimated" : "brotli";
}

/** Returns "229 kB of the exporter's metadata in the original"; undefined if it is a negligible share of the model. */
export function metadataNote({
  bytes: modelBytes,
  metadata = 0,
}: Pick<Measured, "bytes" | "metadata">): string | undefined {
  return metadata > 0.005 * modelBytes ? `${bytes(metadata)} of the exporter's metadata in the original` : undefined;
}

function gainText(run: Run, size: string): string {
  const speed = speedupOf(run, run.chosen);
  if (run.latency?.unsteady === true) {
    const work = relativeWorkOf(run, run.chosen);
    return work === undefined
      ? `${size}. Speed was not measured: the machine was too busy.`
      : `${size}. The machine was too busy to measure speed, but a run takes ${times(work)} the original's processor time.`;
  }
  if (speed === undefined) return `${size}.`;
  const text = speedText(speed);
  return speed.low <= 1 && speed.high >= 1 ? `${size}; ${text}.` : `${size} and ${text}.`;
}

/** Returns "7.87 × smaller", or "About as large (1.10 MB); 7.05 × smaller compressed". */
function sizeText(before: Measured, after: Measured): string {
  const ratioText = (ratio: number): string => (ratio >= 1 ? `${times(ratio)} smaller` : `${times(1 / ratio)} larger`);
  const isEqual = (ratio: number): boolean => times(ratio) === times(1) || times(1 / ratio) === times(1);
  const ratio = before.bytes / after.bytes;
  if (!isEqual(ratio)) return ratioText(ratio);
  const size = `About as large (${bytes(after.bytes)})`;
  const compressed = (before.brotli ?? Number.NaN) / (after.brotli ?? Number.NaN);
  return Number.isNaN(compressed) || isEqual(compressed) ? size : `${size}; ${ratioText(compressed)} compressed`;
}

/** Returns undefined if the processor time was not measured. */
export function relativeWorkOf({ latency }: Pick<Run, "latency">, variant: number | undefined): number | undefined {
  return variant === undefined ? undefined : relativeProcessorTime(latency?.models ?? [], latency?.models[variant + 1]);
}

/** Returns ✗ if rejected, "" without a goal, ✓ if the drop meets it on test, validation and search samples, ? if one misses it insignificantly. */
export function markOf(variant: Variant, goal: Goal | undefined): "✓" | "?" | "✗" | "" {
  const { rejected, verdict } = variant;
  if (rejected !== undefined || verdict?.met === false) return "✗";
  if (goal === undefined || verdict === undefined) return "";
  return isWithin(verdict.drop, goal) && notChosenText(variant, goal) === undefined ? "✓" : "?";
}

/** Returns "not chosen: −1.2 points on the validation samples". */
export function notChosenText(variant: Variant, goal: Goal | undefined): string | undefined {
  const { validation, rejected, verdict, comparison } = variant;
  if (goal === undefined || rejected !== undefined || verdict?.met === false) return undefined;
  const drop = dropWithSearch(variant, goal);
  if (comparison !== undefined && verdict !== undefined && drop !== undefined)
    return isWithin(verdict.drop, goal) && !isWithin({ value: drop }, goal)
      ? `not chosen: ${dropText(comparison, drop)} together with the samples of the search`
      : undefined;
  if (validation?.verdict === undefined || isWithin(validation.verdict.drop, goal)) return undefined;
  return `not chosen: ${formatChange(validation.comparison)} on the validation samples`;
}

/** Returns the larger drop of test samples, and of test and search samples: a candidate that missed the goal in the search can pass by chance. */
export function dropWithSearch({ searched, verdict }: Variant, goal: Goal | undefined): number | undefined {
  if (searched === undefined || verdict === undefined || goal === undefined) return undefined;
  if (isWithin({ value: searched.drop }, goal)) return undefined;
  const { value, count } = verdict.drop;
  return Math.max(value, (searched.drop * searched.samples + value * count) / (searched.samples + count));
}

/** Returns "4 bits missed the goal on the 150 samples of the search: −2.1 points." */
export function searchMissSentence(run: Run): string | undefined {
  const chosen = chosenOf(run);
  if (chosen?.searched === undefined || chosen.comparison === undefined) return undefined;
  if (dropWithSearch(chosen, run.goal) === undefined) return undefined;
  const { drop, samples } = chosen.searched;
  return `${chosen.name} missed the goal on the ${counted(samples, "sample")} of the search: ${dropText(chosen.comparison, drop)}.`;
}

const dropText = ({ unit, better }: Comparison, drop: number): string =>
  difference(unit, better === "higher" ? 0 - drop : drop);

/** Returns "Weights were rounded to the values of 4 bits, and are stored in 8: a byte each." */
export function storageSentence(run: Run): string | undefined {
  const changes = (chosenOf(run)?.steps ?? []).flatMap((step) => step.changes);
  const bitsOf = (kind: Change["kind"]) =>
    changes.flatMap((change) => (change.kind === kind ? (change.bits ?? []) : []));
  const quantizedBits = bitsOf("quantized");
  const storedBits = Math.max(...quantizedBits, ...(quantizedBits.length === 0 ? [8] : []));
  const roundedBits = new Set(bitsOf("rounded").filter((bits) => bits < storedBits));
  if (roundedBits.size === 0) return undefined;
  const roundingText = `Weights were rounded to the values of ${[...roundedBits].toSorted().join(" or ")} bits`;
  return quantizedBits.length > 0
    ? `${roundingText}, and are stored in ${storedBits === 8 ? "8: a byte each" : storedBits}.`
    : `${roundingText}, and are stored as floats.`;
}

/** The sentence about the goal says that a value is unchanged. Returns "Accuracy went from 92.6 % to 91.9 %: −0.7 points (95 % interval −2.0 … +0.6 points, 1,000 samples)." */
export function accuracySentence(run: Run): string | undefined {
  const chosenVariant = chosenOf(run);
  const comparison = chosenVariant?.comparison;
  if (comparison === undefined) return undefined;
  const isJudged = run.goal !== undefined && chosenVariant?.verdict !== undefined;
  const { before, after } = changeTextsOf(comparison);
  const judgedText = before === after ? undefined : fromToText(comparison);
  const changeText = fullAgreementText(comparison) ?? (isJudged ? judgedText : changeTextOf(comparison));
  const othersText = chosenVariant?.others === undefined ? "" : ` ${othersSentence(chosenVariant.others)}`;
  const isShown = (chosenVariant?.verdict?.drop.low ?? 0) > 0;
  const likenessText = isShown ? "" : similaritySentence(chosenVariant?.likeness);
  return (
    `${changeText === undefined ? "" : `${capitalize(changeText)}.`}${likenessText}${othersText}`.trim() || undefined
  );
}

/** Returns `Of the 3 other outputs "boxes" differs most: signal to noise 31.2 dB on 32 samples.` */
export function othersSentence(others: Likeness | string): string {
  if (typeof others === "string") return `The other outputs were not compared: ${others}.`;
  const { output = "", outputs = 1, relativeError, lost } = others;
  if (lost !== undefined) return `${capitalize(lost)}.`;
  const samplesText = `on ${comparedCount(others)}`;
  if (relativeError === 0) return `The other outputs are equal ${samplesText}.`;
  const countText = outputs === 1 ? "" : `${integer(outputs)} `;
  return `Of the ${countText}other outputs "${output}" differs most: ${outputDifferenceText(others)} ${samplesText}.`;
}

/** Returns `signal to noise 31.2 dB (good: an error of 2.8 %)`, `99.2 % of its elements equal` or `3.1 % apart`; for a language model also its figures. */
export function outputDifferenceText({ same, unmoved, signalToNoise, relativeError, language }: Likeness): string {
  if (same !== undefined) return `${percent(same)} of its elements equal`;
  const grade = gradeText("dB", signalToNoise);
  const noiseText = `signal to noise ${figureText("dB", signalToNoise)}${grade === undefined ? "" : ` (${grade})`}`;
  const text = unmoved === undefined ? noiseText : `${percent(relativeError)} apart`;
  if (language === undefined) return text;
  const { agreement, divergence, perplexityRatio: ratio } = language;
  const tokens = counted(agreement.count, "token");
  const [low, high] = [ratio.low, ratio.high].map((bound) => times(bound).replace(" ×", ""));
  return `${text}, agreement ${percent(agreement.value)} of ${tokens}, KL divergence ${figureText("nats", divergence)}, perplexity ${times(ratio.value)} (${low}–${high})`;
}

/** Returns "32 samples", or "448 positions" of texts. */
export const comparedCount = ({ samples, countsPositions }: Likeness): string =>
  counted(samples, countsPositions === true ? "position" : "sample");

/**
 * Returns "good: an error of 2.2 %"; undefined for other units. The relative amplitude of the error is 10^(−dB / 20). A mean divergence d moves at
 * most √(d / 2) of the probability on average (Pinsker's inequality).
 */
export function gradeText(unit: string, value: number): string | undefined {
  const isDecibels = unit === "dB";
  if ((!isDecibels && unit !== "nats") || Number.isNaN(value)) return undefined;
  const share = isDecibels ? 10 ** (-value / 20) : Math.min(1, Math.sqrt(value / 2));
  const [isGood, isFair] = isDecibels ? [value >= 30, value >= 15] : [value <= 0.002, value <= 0.06];
  const grade = isGood ? "good" : isFair ? "fair" : "bad";
  return `${grade}: ${isDecibels ? `an error of ${percent(share)}` : `class probabilities shift by at most ${percent(share)} on average`}`;
}

export const decibelsLegend =
  "signal to noise: from 30 dB is good (an error of 3 %), from 15 dB fair (18 %), below it is bad";

export const divergenceLegend =
  "KL divergence: how much the class probabilities shift; up to 0.002 nats is good (at most 3 % on average), up to 0.06 nats fair (17 %), above it is bad";

export const agreementLegend =
  "agreement: share of predictions that equal the original's (of a language model: the most likely next token)";

/** Returns "right on: node ✓ wasm ✓ webgpu ✗", and one line with the finding per target. */
export function targetLines(checks: readonly TargetCheck[]): readonly string[] {
  const marks = checks.map(({ target, right }) => `${target} ${right === undefined ? "?" : right ? "✓" : "✗"}`);
  return [`right on: ${marks.join(" ")}`, ...checks.map((check) => `  ${check.target}: ${onTargetText(check)}`)];
}

/** Returns "WebGPU in Chrome/156.0 (google swiftshader): signal to noise 1.2 dB on 8 random inputs; the first layer with a large error is conv1". */
export function onTargetText({ where, found, layer }: TargetCheck): string {
  return `${where}: ${found}${layer === undefined ? "" : `; the first layer with a large error is ${layer}`}`;
}

export function wrongTargetText(checks: readonly TargetCheck[]): string | undefined {
  const wrongTarget = checks.find(({ right }) => right === false);
  return wrongTarget === undefined
    ? undefined
    : `on ${wrongTarget.target} the result is not right: ${onTargetText(wrongTarget)}`;
}

/** Returns "30 rounds of 27 runs, the original and all candidates interleaved, 2 threads; …". */
export function timingText({ where, rounds, repeats, threads, inputs = {} }: Timing): string {
  const inputsList = inputsText(inputs);
  const place = where === undefined ? "" : `${where}: `;
  const method = `${counted(rounds, "round")} of ${counted(repeats, "run")}, the original and all candidates interleaved, ${counted(threads, "thread")}; in parentheses: most rounds`;
  return `${place}${method}${inputsList && `, on ${inputsList}`}`;
}

const maxInputs = 4;

/** Returns "input_ids int64[1, 128], attention_mask int64[1, 128]". */
export function inputsText(inputs: Readonly<Record<string, string>>): string {
  const all = Object.entries(inputs).map(([name, text]) => `${name} ${text}`);
  const moreText = all.length > maxInputs ? [`${integer(all.length - maxInputs)} more`] : [];
  return [...all.slice(0, maxInputs), ...moreText].join(", ");
}

function similaritySentence(likeness: Variant["likeness"]): string {
  if (likeness === undefined) return "";
  if (typeof likeness === "string") return ` The outputs were not compared: ${likeness}.`;
  const { lost, relativeError, samples } = likeness;
  if (samples >= minVerdictSamples)
    return lost === undefined ? ` The outputs: ${outputDifferenceText(likeness)}.` : ` ${capitalize(lost)}.`;
  if (lost !== undefined) return ` There are few samples, and ${lost}.`;
  const similarity = relativeError === 0 ? "are equal" : `match the original's: ${outputDifferenceText(likeness)}`;
  return ` There are few samples; their outputs ${similarity}.`;
}

function isIdentical({ noise }: Run): boolean {
  return (
    noise !== undefined && noise.layers.length > 0 && noise.layers.every((layer) => layer.signalToNoise === undefined)
  );
}

/** Returns "Lost 0.7 points of accuracy (95 % interval −2.0 … +0.6 points; goal: lose at most 1.0 points). The estimate meets the goal; …". */
export function goalSentence(run: Run): string | undefined {
  const { goal, data, search, noise } = run;
  const { verdict, comparison } = chosenOf(run) ?? {};
  if (goal === undefined || verdict === undefined || comparison === undefined) return undefined;
  if (isIdentical(run))
    return `The result is identical to the original: no layer's output differs on ${counted(noise?.samples ?? 0, "sample")}.`;
  const searched = search?.apart === true ? search.samples : undefined;
  return verdictSentence(goal, verdict, comparison, { ...data, searched });
}

export function chanceSentence(original: number, chance: number): string {
  const [scored, guessed] = [original, chance].map((value) => figureText("share", value));
  return `The original scores ${scored}, and always predicting the most frequent class would score ${guessed}: these samples cannot show what is lost.`;
}

export function verdictSentence(
  goal: Goal,
  verdict: Verdict,
  comparison: Comparison,
  others: UnusedSamples = {},
  reference?: string,
): string {
  const { unit, better, difference: moved } = comparison;
  const againstText = reference === undefined ? "" : `compared with ${reference}: `;
  const goalText = `goal: ${better === "higher" ? "lose" : "rise by"} at most ${allowance(unit, goal.maxDrop)}`;
  const changeText = `${againstText}${movementText(comparison, goal)} (${intervalText(unit, moved)}; ${goalText})`;
  return `${capitalize(changeText)}. ${verdictPhrase(verdict, goal, unit, others)}.`;
}

/** Returns "lost 0.3 points of accuracy", "accuracy is unchanged", or, if lower values are better, "perplexity rose by 0.12". */
function movementText(comparison: Comparison, goal: Goal): string {
  const { metric, better } = comparison;
  const change = formatChange(comparison, goal);
  const size = change.replace(/^[−+]/, "");
  if (size === change) return `${metric} is unchanged`;
  const isRise = change.startsWith("+");
  if (better === "lower") return `${metric} ${isRise ? "rose" : "fell"} by ${size}`;
  return `${isRise ? "gained" : "lost"} ${size} of ${metric}`;
}

export function changeTextsOf({ unit, original, candidate, difference: moved }: Comparison, goal?: Goal): ChangeTexts {
  const texts = changeTexts(unit, original.value, candidate.value, moved.value, goal?.maxDrop);
  return { ...texts, change: `${texts.change} ${unitOfChange(unit)}`.trim() };
}

export const formatChange = (comparison: Comparison, goal?: Goal): string => changeTextsOf(comparison, goal).change;

/** Returns "−0.3 points (95 % interval −1.1 … +0.4 points, 667 samples)". */
export const changeWithInterval = (comparison: Comparison, goal?: Goal): string =>
  `${formatChange(comparison, goal)} ${intervalNote(comparison.unit, comparison.difference)}`;

function verdictPhrase({ verdict, met, drop }: Verdict, goal: Goal, unit: Unit, others: UnusedSamples): string {
  if (verdict === "kept") return "The goal is met";
  if (!met && (verdict === "lost" || !isWithin(drop, goal))) return "The goal is missed";
  const samplesAdvice = adviseOnSamples(drop, goal, unit, others);
  if (met && drop.count < minSamplesToDecide) return samplesAdvice;
  const advice = samplesAdvice === "" ? "" : `; ${samplesAdvice}`;
  if (met && isWithin(drop, goal))
    return `The estimate meets the goal; the interval does not exclude a larger loss${samplesAdvice === "" ? "" : `. ${capitalize(samplesAdvice)}`}`;
  if (met) return `With ${counted(drop.count, "sample")} this could be chance${advice}`;
  return `--strict requires the whole interval to meet the goal${advice}`;
}

/** Returns "signal to noise is NaN"; undefined if the metric is not broken. */
export function brokenText(comparison: Comparison): string | undefined {
  return isBroken(comparison) ? `${comparison.metric} is ${comparison.candidate.value}` : undefined;
}

/** Returns "accuracy went from 93.0 % to 81.4 %: −11.6 points (95 % interval …); 1.0 points allowed". */
export function lossText(comparison: Comparison, verdict: Verdict, goal: Goal, others: UnusedSamples = {}): string {
  const { unit } = comparison;
  const brokenSentence = brokenText(comparison);
  if (brokenSentence !== undefined) return brokenSentence;
  const text = `${changeTextOf(comparison, goal)}; ${allowance(unit, goal.maxDrop)} allowed`;
  if (!isWithin(verdict.drop, goal)) return text;
  const advice = adviseOnSamples(verdict.drop, goal, unit, others);
  return `${text}, and --strict requires the whole interval to be within that${advice === "" ? "" : `; ${advice}`}`;
}

/** Returns "accuracy is slightly worse (−0.1 points), which is …", if the drop is significant or its estimate misses the goal. */
export function lossWarning(comparison: Comparison, verdict: Verdict, goal: Goal): string | undefined {
  const { metric, unit, better, truth, original } = comparison;
  const { drop } = verdict;
  const differenceText = formatChange(comparison, goal);
  if (!isWithin(drop, goal))
    return `${metric} is worse by the estimate (${differenceText}; ${allowance(unit, goal.maxDrop)} allowed), which is not statistically significant`;
  if (!(drop.low > 0)) return undefined;
  const isSlight = isWithin(drop, { maxDrop: defaultDrop({ unit, better }, original.value) });
  // If the original is the truth, its own value has no error, so any changed prediction would be significant.
  if (truth === "original" && isSlight) return undefined;
  const significance = truth === "original" && unit === "share" ? "" : ", which is statistically significant";
  return `${metric} is ${isSlight ? "slightly " : ""}worse (${differenceText})${significance}`;
}

/** Returns "compared with resnet20.onnx: accuracy went from 93.0 % to 69.3 %: −23.7 points (95 % interval −28.7 … −18.9 points, 300 samples)". */
export const referenceText = (model: string, comparison: Comparison, goal?: Goal): string =>
  `compared with ${model}: ${changeTextOf(comparison, goal)}`;

/** Returns "a gain over thin.onnx is undecided: accuracy went from 92.6 % to 92.7 % (…)". */
export function noGainText(model: string, comparison: Comparison): string | undefined {
  const { low, high } = judge(comparison, { maxDrop: 0 }).drop;
  if (high < 0) return undefined;
  const text = low > 0 ? `the result is worse than ${model}` : `a gain over ${model} is undecided`;
  return `${text}: ${changeTextOf(comparison)}`;
}

/** Returns "the result agrees with the original on all 20 samples (95 %: at least 83.9 %)"; undefined if it disagrees, or the data has labels. */
function fullAgreementText({ truth, unit, pairs, candidate }: Comparison): string | undefined {
  if (truth === undefined || pairs?.bothRight !== candidate.count) return undefined;
  const confidence = `${confidenceText(candidate)}: at least ${figureText(unit, candidate.low)}`;
  return `the result agrees with the original on all ${counted(candidate.count, "sample")} (${confidence})`;
}

const changeTextOf = (comparison: Comparison, goal?: Goal): string =>
  `${fromToText(comparison, goal)}: ${changeWithInterval(comparison, goal)}`;

function fromToText(comparison: Comparison, goal?: Goal): string {
  const { before, after } = changeTextsOf(comparison, goal);
  return `${comparison.metric} went from ${before} to ${after}`;
}
