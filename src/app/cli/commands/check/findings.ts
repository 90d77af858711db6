/** Decides for each budget of a model: passed, failed, or undecided. */
import { bytes, changeInterval, counted, difference, type Estimate, integer, percent, times, type Unit } from "#ir";
import { wilson } from "../../../../core/math/confidence-interval.ts";
import { roundUp } from "../../../../judge/record/sample-advice.ts";
import { formatChange, verdictSentence } from "../../../../judge/record/verdict.ts";
import type { ModelMeasurement } from "../../../../judge/run/measure-models.ts";
import { namedMetrics } from "../../../../judge/task/named-metrics.ts";
import type { Size } from "../../../../runtime/run/model-size.ts";
import type { PairedRunTimes } from "../../../../runtime/run/relative-time.ts";
import type { EvalResult } from "../../processes/eval.ts";
import type { Budgets } from "./budgets.ts";

/** "undecided": the measurement decides neither way. */
export type CheckOutcome = "passed" | "failed" | "undecided";

export interface Finding {
  readonly budget: string;
  readonly limit: string;
  readonly measured: string;
  readonly outcome: CheckOutcome;
  /** Why the outcome is not "passed". */
  readonly reason?: string | undefined;
}

/** Share by which an estimated size after brotli can be wrong (`runtime/run/model-size.ts`). */
const estimateError = 0.05;

export function sizeFindings({ bytes: maxBytes, download }: Budgets, size: Size): readonly Finding[] {
  const findings: Finding[] = [];
  if (maxBytes !== undefined) {
    const outcome = size.bytes <= maxBytes ? "passed" : "failed";
    const [limit, measured] = sizeTexts(maxBytes, size.bytes);
    findings.push({ budget: "bytes", limit: `at most ${limit}`, measured, outcome });
  }
  if (download === undefined) return findings;
  const { brotli, sampled } = size;
  const [limitText, sizeText] = sizeTexts(download, brotli ?? Number.NaN);
  const limit = `at most ${limitText}`;
  if (brotli === undefined) return [...findings, undecidedFinding("download", limit, "brotli is not available here")];
  const isClose = sampled && Math.abs(brotli - download) <= estimateError * download;
  const outcome = isClose ? "undecided" : brotli <= download ? "passed" : "failed";
  const reason = isClose ? "the size after brotli is estimated, and within 5 % of the budget" : undefined;
  const measured = `${sampled ? "≈ " : ""}${sizeText}`;
  return [...findings, { budget: "download", limit, measured, outcome, reason }];
}

/** Returns the texts of a limit and a size, in bytes if their rounded texts are equal. */
function sizeTexts(limit: number, size: number): readonly [string, string] {
  const isExact = limit !== size && bytes(limit) === bytes(size);
  const text = (count: number): string => (isExact ? counted(count, "byte") : bytes(count));
  return [text(limit), text(size)];
}

const dropLimitText = (maxDrop: number, unit: Unit): string =>
  `lose at most ${difference(unit, maxDrop).replace("+", "")}`;
const agreementLimitText = (minimum: number): string => `at least ${percent(minimum)}`;

export function unmeasuredFindings({ drop, agreement, metric }: Budgets, reason: string): readonly Finding[] {
  const { unit } = namedMetrics[metric]({});
  return [
    ...(drop === undefined ? [] : [undecidedFinding("drop", dropLimitText(drop, unit), reason)]),
    ...(agreement === undefined ? [] : [undecidedFinding("agreement", agreementLimitText(agreement), reason)]),
  ];
}

export const missingRuntimeFindings = (runtimes: readonly string[], reason: string): readonly Finding[] =>
  runtimes.map((target) => undecidedFinding(`outputs on ${target}`, sameOutputsLimit, reason));

const sameOutputsLimit = "as the original in Node";

const undecidedFinding = (budget: string, limit: string, reason: string): Finding => ({
  budget,
  limit,
  measured: "–",
  outcome: "undecided",
  reason,
});

const isMeasured = (result: EvalResult): result is EvalResult & ModelMeasurement => result.figures !== undefined;

export function evalFindings(budgets: Budgets, result: EvalResult): readonly Finding[] {
  const findings: Finding[] = [];
  if (isMeasured(result)) {
    const { lost, lostKnowledge, unmeasured } = result;
    const outputProblem = unmeasured === undefined ? (lost ?? lostKnowledge) : `"${unmeasured}" outputs NaN`;
    if (outputProblem !== undefined)
      findings.push({
        budget: "outputs",
        limit: "as the original",
        measured: "lost",
        outcome: "failed",
        reason: outputProblem,
      });
    const chanceText = "the original is not better than always predicting the most frequent class";
    const isMeaningless = result.atChance && outputProblem === undefined;
    findings.push(...(isMeaningless ? unmeasuredFindings(budgets, chanceText) : sampleFindings(budgets, result)));
  }
  for (const { target, right, found } of result.targets ?? []) {
    const outcome = right === undefined ? "undecided" : right ? "passed" : "failed";
    findings.push({ budget: `outputs on ${target}`, limit: sameOutputsLimit, measured: found, outcome });
  }
  return findings;
}

function sampleFindings(budgets: Budgets, measurement: EvalResult & ModelMeasurement): readonly Finding[] {
  const { comparison, verdict, figures } = measurement;
  const findings: Finding[] = [];
  if (budgets.drop !== undefined && comparison !== undefined && verdict !== undefined) {
    const { unit } = comparison;
    const isKept = verdict.verdict === "kept";
    findings.push({
      budget: "drop",
      limit: dropLimitText(budgets.drop, unit),
      measured: `change ${formatChange(comparison)} (${changeInterval(unit, comparison.difference)})`,
      outcome: isKept ? "passed" : verdict.met ? "undecided" : "failed",
      reason: isKept
        ? undefined
        : // In budgets, `samples` is a key and not a flag.
          verdictSentence({ maxDrop: budgets.drop }, verdict, comparison, measurement).replaceAll(
            "--samples ",
            "samples: ",
          ),
    });
  }
  if (budgets.agreement !== undefined) {
    const figure = figures.find(({ metric }) => metric === "agreement");
    const limit = agreementLimitText(budgets.agreement);
    findings.push(
      figure === undefined
        ? undecidedFinding("agreement", limit, "the model's output has no classes")
        : agreementFinding(limit, budgets.agreement, figure.estimate),
    );
  }
  return findings;
}

const maxSamples = 1e6;

/** Returns the number of samples that decide if the share stays the same. */
function samplesToDecide(share: number, minimum: number, count: number): number | undefined {
  for (let samples = count; samples < maxSamples; samples = Math.ceil(1.05 * samples)) {
    const { low, high } = wilson(share * samples, samples);
    if (low >= minimum || high < minimum) return roundUp(samples);
  }
  return undefined;
}

/** Passes if the whole interval reaches the minimum, fails if the whole interval is below it, and is undecided otherwise. */
function agreementFinding(limit: string, minimum: number, { value, low, high, count }: Estimate): Finding {
  const budget = "agreement";
  const measured = `${percent(value)} (${percent(low)} … ${percent(high)})`;
  if (low >= minimum) return { budget, limit, measured, outcome: "passed" };
  if (high < minimum) return { budget, limit, measured, outcome: "failed" };
  const neededCount = samplesToDecide(value, minimum, count);
  const advice = neededCount === undefined ? "" : `; about ${integer(neededCount)} would`;
  const reason = `${counted(count, "sample")} ${count === 1 ? "does" : "do"} not decide${advice}`;
  return { budget, limit, measured, outcome: "undecided", reason };
}

/** Returns what the timings of several processes show. A text in `timings` is the reason why the models cannot be timed. */
export function speedFinding(
  minimum: number,
  timings: readonly (Pick<PairedRunTimes, "before" | "after"> | string)[],
): Finding {
  const limit = `at least ${times(minimum)}`;
  const reason = timings.find((timing) => typeof timing === "string");
  if (reason !== undefined) return undecidedFinding("speed", limit, reason);
  const measuredTimings = timings.filter((timing) => typeof timing !== "string");
  const ratios = measuredTimings.map(({ before, after }) => before / after).toSorted((a, b) => a - b);
  if (!ratios.every(Number.isFinite)) return undecidedFinding("speed", limit, "processor time cannot be read here");
  const [low = Number.NaN, high = Number.NaN] = [ratios[0], ratios.at(-1)];
  const middle = ratios[Math.floor(ratios.length / 2)] ?? Number.NaN;
  const measured = `${times(middle)} (${times(low)} … ${times(high)})`;
  if (low >= minimum) return { budget: "speed", limit, measured, outcome: "passed" };
  if (high < minimum) return { budget: "speed", limit, measured, outcome: "failed" };
  return {
    budget: "speed",
    limit,
    measured,
    outcome: "undecided",
    reason: "the timings are on both sides of the limit",
  };
}

/** Returns the worst outcome of several findings. */
export function outcomeOf(findings: readonly Pick<Finding, "outcome">[]): CheckOutcome {
  const outcomes = new Set(findings.map(({ outcome }) => outcome));
  return outcomes.has("failed") ? "failed" : outcomes.has("undecided") ? "undecided" : "passed";
}
