/** What a run found, as sentences. */
import {
  type Comparison,
  type Goal,
  judge,
  neededSamples,
  type Spread,
  type Unit,
  type Verdict,
} from "../evaluate/index.ts";
import {
  allowance,
  change,
  differenceWithInterval,
  figure,
  integer,
  times,
  unitOfChange,
} from "../evaluate/numbers.ts";
import type { Measured, Run, Variant } from "./data.ts";

/** The outcome in a word, for a badge: of three colours. */
export interface Outcome {
  readonly word: "kept" | "lost" | "not shown" | "measured" | "nothing kept";
  readonly mood: "good" | "doubt" | "bad";
}

/** The variant that was kept, with what it measures. */
export function chosenOf(run: Run): (Variant & { readonly result: Measured }) | undefined {
  const variant = run.chosen === undefined ? undefined : run.variants[run.chosen];
  return variant?.result === undefined ? undefined : { ...variant, result: variant.result };
}

export function outcomeOf(run: Run): Outcome {
  const chosen = chosenOf(run);
  if (chosen === undefined) return { word: "nothing kept", mood: "bad" };
  if (chosen.verdict === undefined) return { word: "measured", mood: "good" };
  const { verdict, met } = chosen.verdict;
  return { word: verdict, mood: verdict === "kept" ? "good" : met ? "doubt" : "bad" };
}

/** How fast a variant is beside the original; undefined where it was not timed. */
export function speedOf({ latency }: Run, variant: number | undefined): Spread | undefined {
  return variant === undefined ? undefined : latency?.models[variant + 1]?.speedup;
}

/** 10th to 90th percentile of a speed that counts as one number: beyond, it is about that. */
const widestSpread = 1.5;

/** "7.87 × smaller and 2.15 × faster." The first sentence: what was gained, of sizes and times as they were measured. */
export function gainSentence(run: Run): string {
  const chosen = chosenOf(run);
  if (chosen === undefined) {
    return run.variants.length === 0 ? "Nothing was tried." : "Nothing was kept: no variant stayed within the goal.";
  }
  const smaller = run.original.bytes / chosen.result.bytes;
  const speed = speedOf(run, run.chosen);
  const size = smaller >= 1 ? `${times(smaller)} smaller` : `${times(1 / smaller)} larger`;
  if (speed === undefined) return `${size}.`;
  // A ratio whose spread holds 1 is no gain and no loss.
  if (speed.low <= 1 && speed.high >= 1) {
    const range = `${speed.low.toFixed(2)}–${speed.high.toFixed(2)}`;
    return `${size}. Speed: no clear difference (${times(speed.median)}, ${range}).`;
  }
  const factor = speed.median >= 1 ? speed.median : 1 / speed.median;
  const told = speed.high / speed.low <= widestSpread ? times(factor) : `about ${rounded(factor)} ×`;
  return `${size} and ${told} ${speed.median >= 1 ? "faster" : "slower"}.`;
}

/** 3, 1.4, 12: as many digits as an unsteady ratio is worth. */
function rounded(factor: number): string {
  return String(Number(factor.toPrecision(factor < 2 || factor >= 10 ? 2 : 1)));
}

/** "It was chosen among 3 by 333 other samples, which no figure here is of.": undefined where there was no choice. */
export function choiceSentence(run: Run): string | undefined {
  const measured = run.variants.filter(({ result }) => result !== undefined).length;
  if (chosenOf(run) === undefined || measured < 2) return undefined;
  const { choosing } = run.data;
  return choosing === undefined
    ? `The result was chosen among ${measured} variants on these same samples, too few to set some aside, which flatters its figure slightly.`
    : `The result was chosen among ${measured} variants by ${integer(choosing)} other samples, which no figure here is of.`;
}

/** "−1.2 points on the samples to choose by": why a variant that keeps the goal was passed over; undefined where that is not so. */
export function passedOver({ choosing, refused, verdict }: Variant): string | undefined {
  if (choosing === undefined || refused !== undefined || verdict?.met === false) return undefined;
  const where = "on the samples to choose by";
  if (choosing.lost !== undefined) return `lost ${where}`;
  if (choosing.verdict?.met !== false) return undefined;
  const { unit, difference } = choosing.comparison;
  return `${[change(unit, difference.value), unitOfChange(unit)].filter((text) => text !== "").join(" ")} ${where}`;
}

/** Bits of a code as files hold it. */
const storedBits = 8;

/**
 * "Weights were rounded to the values of 4 bits, and are stored in 8: a byte each.": undefined where files hold them in as many bits as they
 * were rounded to.
 */
export function storageSentence(run: Run): string | undefined {
  const steps = chosenOf(run)?.steps ?? [];
  const at = steps.findLastIndex(({ id }) => id === "fake-quantize");
  const bits = steps[at]?.options.bits;
  if (typeof bits !== "number" || bits >= storedBits) return undefined;
  const rounded = `Weights were rounded to the values of ${integer(bits)} bits`;
  const isCoded = steps.slice(at).some(({ id, options }) => id === "quantize" && options.scheme !== "float16");
  return isCoded
    ? `${rounded}, and are stored in ${storedBits}: a byte each.`
    : `${rounded}, and are stored as floats.`;
}

/** "Accuracy went from 92.6 % to 91.9 %: −0.7 points (95 % interval −2.0 … +0.6, 1,000 samples)." */
export function accuracySentence(run: Run): string | undefined {
  const chosen = chosenOf(run);
  const comparison = chosen?.comparison;
  if (comparison === undefined) return undefined;
  const { metric, unit, original, candidate, difference } = comparison;
  return (
    `${metric[0]?.toUpperCase()}${metric.slice(1)} went from ${figure(unit, original.value)} to ` +
    `${figure(unit, candidate.value)}: ${differenceWithInterval(unit, difference)}.` +
    alikeSentence(chosen?.likeness)
  );
}

/** So few samples say little: what was asked beside them. */
function alikeSentence(likeness: Variant["likeness"]): string {
  if (likeness === undefined) return "";
  if (typeof likeness === "string")
    return ` The samples are few, and no comparison on random inputs was possible: ${likeness}.`;
  if (likeness.lost !== undefined) return ` The samples are few, and ${likeness.lost}.`;
  return ` The samples are few; on ${integer(likeness.samples)} random inputs it still does what the original does.`;
}

/** "The goal of losing at most 1.0 points is kept by the estimate, not shown: about 4,300 samples would show it." */
export function goalSentence(run: Run): string | undefined {
  const { goal, metric } = run;
  return goal === undefined ? undefined : verdictSentence(goal, chosenOf(run)?.verdict, metric.unit, run.data.choosing);
}

/** @param choosing samples that were set aside to choose by. */
export function verdictSentence(
  { maxDrop }: Goal,
  verdict: Verdict | undefined,
  unit: Unit,
  choosing: number | undefined = 0,
): string {
  const text = `The goal of losing at most ${allowance(unit, maxDrop)}`;
  return verdict === undefined ? `${text} was not met.` : `${text} ${verdictPhrase(verdict, choosing)}.`;
}

/** Where nobody says what may be lost, a point of a share is what counts as something. */
const somePoint = 0.01;

/**
 * What samples leave open of a result that no goal judged: "60 samples do not show that nothing is lost (a point at most): about 381 would show
 * it." Undefined where they show it, or show that something is; and where the result is better on them, since nobody asks then what was lost.
 */
export function openSentence(comparison: Comparison): string | undefined {
  const { unit, difference, variance } = comparison;
  const limit = unit === "share" ? somePoint : 0;
  const { drop, verdict, samples } = judge(comparison, { maxDrop: limit });
  if (verdict !== "not shown" || drop.low > 0 || drop.value < 0) return undefined;
  // Figures without a size that means something everywhere: only where there seems to be a loss is there anything to show.
  if (unit !== "share" && !(drop.value > 0)) return undefined;
  const some = `${integer(difference.count)} samples do not show`;
  const atMost = unit === "share" ? ` (${allowance(unit, somePoint)} at most)` : "";
  if (samples !== undefined && drop.value < limit)
    return `${some} that nothing is lost${atMost}: ${wouldShow(samples, difference.count, 0)}.`;
  const needed = neededSamples(variance, drop.value);
  const more = Number.isFinite(needed) && needed > difference.count;
  const told = more ? `: about ${integer(needed)} samples would tell the loss they estimate from chance` : "";
  return `${some} that nothing is lost${atMost}${told}.`;
}

/** "is kept", "is lost by the estimate, not shown: about 900 samples would show it". */
function verdictPhrase({ verdict, met, samples, drop }: Verdict, choosing: number): string {
  if (verdict !== "not shown") return `is ${verdict}, and these samples show it`;
  const more = samples === undefined ? "" : `: ${wouldShow(samples, drop.count, choosing)}`;
  return `is ${met ? "kept" : "lost"} by the estimate, not yet shown${more}`;
}

/**
 * "about 900 samples would show it", and of how many in all, where some of them are set aside to choose by.
 * @param judged samples that judged. @param choosing samples that were set aside beside these.
 */
export function wouldShow(samples: number, judged: number, choosing: number): string {
  if (choosing === 0) return `about ${integer(samples)} samples would show it`;
  const all = Math.ceil((samples * (judged + choosing)) / judged);
  return `about ${integer(samples)} samples to judge by would show it, of ${integer(all)} in all`;
}
