/** Selects the result to keep: of those that meet goal and targets, the one with the lowest cost. */
import { type Goal, isWithin, judge } from "../compare/goal.ts";
import { whyNothingGained } from "../measure/improvement.ts";
import { type Objective, objectiveOf, paretoFrontOf, sizeFor, type Tradeoff } from "../measure/objective.ts";
import type { Choice, Measured, Timing } from "../record/run-record.ts";
import { dropWithSearch, relativeWorkOf } from "../record/verdict.ts";
import type { Attempt } from "./attempt.ts";
import type { RunOptions } from "./run-options.ts";
import { speedOfAttempt } from "./timing.ts";
import type { Trials } from "./trials.ts";

export interface RankedVariant {
  /** Bytes of the file or download; undefined if there is no result. */
  readonly size: Tradeoff["size"] | undefined;
  readonly isAcceptable: boolean;
  /** Positive if the result is worse; undefined if it was rejected for another reason than its drop. */
  readonly drop?: number | undefined;
  readonly speed?: Tradeoff["speed"];
}

interface Result extends Tradeoff {
  readonly index: number;
  readonly isAcceptable: boolean;
}

/** If no result is acceptable, returns the one with the smallest drop, or with `force` the smallest file. */
export function choose(variants: readonly RankedVariant[], force: boolean, objective: Objective): Choice | undefined {
  const results = resultsOf(variants);
  const acceptableResults = results.filter((result) => result.isAcceptable);
  if (acceptableResults.length > 0) return chooseByObjective(acceptableResults, objective);
  if (!force) return chooseSmallestDrop(variants);
  const smallest = smallestOf(results);
  return smallest && { place: smallest.index, by: "force" };
}

const resultsOf = (variants: readonly RankedVariant[]): readonly Result[] =>
  variants.flatMap(({ size, drop = 0, ...rest }, index) =>
    size === undefined ? [] : [{ ...rest, size, drop, index }],
  );

function chooseSmallestDrop(variants: readonly RankedVariant[]): Choice | undefined {
  const drops = variants.flatMap(({ drop }, index) => (drop === undefined ? [] : [{ place: index, drop }]));
  const [smallestDrop] = drops.toSorted((a, b) => a.drop - b.drop);
  return smallestDrop && { place: smallestDrop.place, by: "loss" };
}

const lowestBy = (cost: (figures: Tradeoff) => number, results: readonly Result[]): Result | undefined =>
  results.toSorted((a, b) => cost(a) - cost(b) || a.drop - b.drop)[0];

const smallestOf = (results: readonly Result[]): Result | undefined => lowestBy(({ size }) => size, results);

/** `over`: the smallest result if the objective excludes it, for example as too slow. */
function chooseByObjective(results: readonly Result[], { id, cost, shortfall }: Objective): Choice | undefined {
  const [only, ...more] = results;
  if (only !== undefined && more.length === 0) return { place: only.index, by: "only" };
  const allowedResults = results.filter((result) => shortfall(result) === 0);
  const best = lowestBy(cost, allowedResults);
  if (best !== undefined) {
    const smallest = smallestOf(results);
    const isOver = smallest !== undefined && !allowedResults.includes(smallest);
    return { place: best.index, by: id, ...(isOver ? { over: smallest.index } : {}) };
  }
  // No result reaches the required value. The fastest one is written, with a warning.
  const fastest = lowestBy(({ speed = 0 }) => -speed, results);
  return fastest && { place: fastest.index, by: "none allowed" };
}

export function otherFrontIndices(variants: readonly RankedVariant[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const acceptableResults = resultsOf(variants).filter((result) => result.isAcceptable);
  return paretoFrontOf(acceptableResults, (result) => result).flatMap(({ index }) => (index === chosen ? [] : [index]));
}

export interface Decision {
  readonly original: Measured;
  readonly attempts: readonly Attempt[];
  readonly rankedVariants: readonly RankedVariant[];
  /** Undefined if no attempt has a result that can be kept. */
  readonly choice: Choice | undefined;
  /** Index of the kept attempt; undefined if the chosen one was rejected on the test samples. */
  readonly chosen: number | undefined;
}

export async function selectResult(
  attempts: readonly Attempt[],
  timing: Timing | undefined,
  { evaluator, goal }: Pick<Trials, "evaluator" | "goal">,
  options: RunOptions,
): Promise<Decision> {
  options.onStage?.("compressed size");
  const [original, ...results] = await Promise.all([
    evaluator.withCompressedSizes(evaluator.original.measured),
    ...attempts.map((attempt) => addCompressedSizes(attempt, evaluator)),
  ]);
  const objective = objectiveOf(options, goal?.maxDrop, original);
  // With timing, a result without a speed cannot reach a speed target.
  const speedIfUntimed = options.rounds === 0 ? undefined : 0;
  const judgedAttempts = results.map((attempt, index) =>
    rejectOffTarget(
      rejectWithoutGain(original, attempt, relativeWorkOf({ latency: timing }, index)),
      speedOfAttempt(timing, index) ?? speedIfUntimed,
      objective,
      options.purpose,
    ),
  );
  const rankedVariants = judgedAttempts.map((attempt, index) => ({
    ...rankedVariantOf(attempt, goal, options.purpose),
    speed: speedOfAttempt(timing, index),
  }));
  const force = options.force === true;
  const choice = choose(rankedVariants, force, objective);
  const isChosen = choice !== undefined && (force || isKept(judgedAttempts[choice.place]));
  return { original, attempts: judgedAttempts, rankedVariants, choice, chosen: isChosen ? choice.place : undefined };
}

async function addCompressedSizes(attempt: Attempt, evaluator: Trials["evaluator"]): Promise<Attempt> {
  const { variant, evaluation } = attempt;
  return {
    ...attempt,
    variant: { ...variant, result: variant.result && (await evaluator.withCompressedSizes(variant.result)) },
    evaluation: evaluation && { ...evaluation, measured: await evaluator.withCompressedSizes(evaluation.measured) },
  };
}

export function indexOfSmallestDrop(attempts: readonly Attempt[]): number | undefined {
  const drops = attempts.flatMap(({ evaluation, variant }, index) =>
    evaluation === undefined || variant.rejectedAs === "unchanged"
      ? []
      : [{ place: index, drop: judge(evaluation.comparison, { maxDrop: 0 }).drop.value }],
  );
  return drops.toSorted((a, b) => a.drop - b.drop)[0]?.place;
}

/** The estimated drop must meet the goal, because with few samples even a large drop is not significant. */
function rankedVariantOf(
  { evaluation, isUsable, variant }: Attempt,
  goal: Goal | undefined,
  purpose: RunOptions["purpose"],
): RankedVariant {
  const { validation, verdict, rejected } = variant;
  const comparison = validation?.comparison ?? evaluation?.comparison;
  const choiceVerdict =
    (validation === undefined ? verdict : validation.verdict) ?? (comparison && judge(comparison, { maxDrop: 0 }));
  const isEligible = isUsable && (validation !== undefined || rejected === undefined);
  const meetsGoal = validation !== undefined || verdict?.met !== false;
  const drop = dropWithSearch(variant, goal) ?? choiceVerdict?.drop.value;
  return {
    size: evaluation && sizeFor(purpose, evaluation.measured),
    isAcceptable:
      isEligible &&
      meetsGoal &&
      (choiceVerdict === undefined || goal === undefined || isWithin({ value: drop ?? Number.NaN }, goal)),
    drop: isEligible && Number.isFinite(drop) ? drop : undefined,
  };
}

function rejectWithoutGain(original: Measured, attempt: Attempt, work: number | undefined): Attempt {
  const { variant } = attempt;
  if (variant.rejected !== undefined) return attempt;
  const noGainText = whyNothingGained(original, variant, work);
  if (noGainText === undefined) return attempt;
  return { ...attempt, isUsable: false, variant: { ...variant, rejected: noGainText, rejectedAs: "no gain" } };
}

function rejectOffTarget(
  attempt: Attempt,
  speed: number | undefined,
  { shortfallReason, shortfall }: Objective,
  purpose: RunOptions["purpose"],
): Attempt {
  const { variant } = attempt;
  if (shortfallReason === undefined || variant.result === undefined || variant.rejected !== undefined) return attempt;
  return shortfall({ size: sizeFor(purpose, variant.result), speed, drop: 0 }) === 0
    ? attempt
    : { ...attempt, isUsable: false, variant: { ...variant, rejected: shortfallReason, rejectedAs: "off target" } };
}

const isKept = (attempt: Attempt | undefined): boolean =>
  attempt?.variant.rejected === undefined && attempt?.variant.verdict?.met !== false;
