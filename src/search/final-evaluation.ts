/** Evaluates candidates of a search: the best so far on the search samples, the finalists on other samples. */
import { counted } from "#ir";
import type { Context } from "#pass";
import type { Dataset } from "../data/index.ts";
import { isWithin } from "../judge/compare/goal.ts";
import { type Objective, objectiveOf, paretoFrontOf } from "../judge/measure/objective.ts";
import type { Run } from "../judge/record/run-record.ts";
import { dropWithSearch } from "../judge/record/verdict.ts";
import { type Compressed, compressWithStore } from "../judge/run/compress.ts";
import type { Trials } from "../judge/run/trials.ts";
import type { Rounds } from "./rounds.ts";
import {
  dropIntervalOf,
  evaluatedSamplesOf,
  resolveRecipe,
  type ScoredTrial,
  searchRecordOf,
  selectUsableTrials,
  type UsableTrial,
} from "./scored-trials.ts";
import type { PooledSearchOptions, SearchSetup } from "./search-setup.ts";
import { splitForSearch } from "./search-splits.ts";

const isTooSlow = ({ choice, variants }: Run): boolean =>
  choice?.by === "none allowed" || variants.every(({ rejectedAs }) => rejectedAs === "off target");

function meetsGoal(run: Run): boolean {
  const { variants, chosen, goal } = run;
  const keptVariant = variants[chosen ?? -1];
  if (isTooSlow(run)) return false;
  if (keptVariant === undefined || goal === undefined || keptVariant.verdict === undefined)
    return keptVariant !== undefined;
  return isWithin({ value: dropWithSearch(keptVariant, goal) ?? keptVariant.verdict.drop.value }, goal);
}

export class FinalEvaluation {
  readonly #task: SearchSetup;
  readonly #finalTrials: Trials;
  readonly #rounds: Rounds;
  readonly #objective: Objective;

  constructor(task: SearchSetup, finalTrials: Trials, rounds: Rounds, objective: Objective) {
    this.#task = task;
    this.#finalTrials = finalTrials;
    this.#rounds = rounds;
    this.#objective = objective;
  }

  async evaluateInterim(best: ScoredTrial): Promise<Compressed> {
    const { options, context, splits } = this.#task;
    const silentContext: Context = { ...context, log: () => {}, progress: () => {} };
    const quietOptions = { ...options, rounds: 0, front: false, onStage: () => {} };
    const result = await this.#evaluate([best], splits.search, quietOptions, silentContext);
    return this.#withRecord(result, true);
  }

  async evaluateFinalists(): Promise<Compressed> {
    const { context, splits, options, trials } = this.#task;
    const { tried } = this.#rounds;
    const bySize = objectiveOf({ purpose: "size" }, trials.goal?.maxDrop, trials.evaluator.original.measured);
    const finalists = finalistsOf(tried, this.#objective, bySize);
    const [triedText, finalistsText] = [counted(tried.length, "candidate"), counted(finalists.length, "finalist")];
    const samplesText = `on ${splits.isApart ? "other" : "the same"} samples`;
    context.log({ id: "finalists", text: `${triedText} compared; ${finalistsText} evaluated ${samplesText}` });
    const log: Context["log"] = (event) => ["resume", "one-class"].includes(event.id) || context.log(event);
    const evaluateAll = (scoredTrials: readonly ScoredTrial[], evaluationOptions: PooledSearchOptions) =>
      this.#evaluate(scoredTrials, splits.test, evaluationOptions, { ...context, log });
    const result = await evaluateAll(finalists, options);
    const reserveCandidates = reservesOf(tried, finalists, this.#objective);
    if (meetsGoal(result.run) || reserveCandidates.length === 0) return this.#withRecord(result);
    const reservesText = counted(reserveCandidates.length, "other");
    context.log({
      id: "reserves",
      text: `no finalist ${isTooSlow(result.run) ? "is as fast when it is timed again" : `meets the goal ${samplesText}`}; evaluating ${reservesText}`,
    });
    return this.#withRecord(await evaluateAll([...finalists, ...reserveCandidates], options));
  }

  async #evaluate(
    scoredTrials: readonly ScoredTrial[],
    test: Dataset,
    evaluationOptions: PooledSearchOptions,
    context: Context,
  ): Promise<Compressed> {
    const { store, original, task, options, splits, trials } = this.#task;
    // The number of compared candidates widens the confidence intervals.
    const isApart = splits.isApart && test === splits.test;
    const candidates = scoredTrials.map(({ combination, attempt, tradeoff }) => ({
      name: combination.name,
      recipe: resolveRecipe(combination, attempt, options.samples),
      ...(isApart && tradeoff && { searched: { drop: tradeoff.drop, samples: evaluatedSamplesOf(attempt) ?? 0 } }),
    }));
    const compared = Math.max(1, isApart ? scoredTrials.length : this.#rounds.tried.length);
    // Without labels, a run has no goal for trained candidates by default.
    const goal = trials.goal === undefined ? evaluationOptions.goal : { stated: false, ...trials.goal };
    const storedParts =
      task.shownSamples && task.shownSamples.count === task.test.count ? splitForSearch(task.shownSamples) : undefined;
    const samplesToShow = storedParts && {
      shownSamples: test === splits.search ? storedParts.search : storedParts.test,
    };
    const runOptions = { ...evaluationOptions, goal, choice: false, compared, onMeasured: () => {} };
    const earlier = test === splits.search ? trials : this.#finalTrials;
    return compressWithStore(
      store,
      original,
      candidates,
      { ...task, test, ...samplesToShow },
      runOptions,
      context,
      earlier,
    );
  }

  #withRecord(result: Compressed, isInterim = false): Compressed {
    const { trials, options, splits } = this.#task;
    const { samples } = trials.evaluator.originalTime;
    const search = searchRecordOf(
      this.#rounds.tried,
      samples,
      splits.isApart,
      options.samples,
      isInterim,
      options.purpose,
    );
    return { ...result, run: { ...result.run, search } };
  }
}

/** Each additional finalist widens the confidence intervals. */
export const maxFinalists = 4;

/** Selects the cheapest by the objective, the smallest that meets `bySize`, the cheapest near the goal, and others of the Pareto front. */
export function finalistsOf(
  scoredTrials: readonly ScoredTrial[],
  objective: Objective,
  bySize: Objective,
): readonly ScoredTrial[] {
  const usableCandidates = selectUsableTrials(scoredTrials);
  if (usableCandidates.length === 0) return scoredTrials.slice(0, maxFinalists);
  const cost = (candidate: UsableTrial): number => objective.cost(candidate.tradeoff);
  const misses = (candidate: UsableTrial): number => objective.shortfall(candidate.tradeoff);
  const meetingObjective = usableCandidates
    .filter((candidate) => misses(candidate) === 0)
    .toSorted((a, b) => cost(a) - cost(b));
  if (meetingObjective.length === 0)
    return usableCandidates.toSorted((a, b) => misses(a) - misses(b)).slice(0, maxFinalists);
  const smallest = usableCandidates
    .filter((candidate) => bySize.shortfall(candidate.tradeoff) === 0)
    .toSorted((a, b) => a.tradeoff.size - b.tradeoff.size)
    .slice(0, 1);
  const cheapest = meetingObjective.slice(0, Math.ceil(maxFinalists / 2));
  const nearGoal = usableCandidates
    .filter((candidate) => isNearGoal(candidate, objective))
    .toSorted((a, b) => cost(a) - cost(b));
  const cheapestNear = nearGoal.slice(0, 1);
  const chosenTrials = [
    ...new Set([
      ...cheapest,
      ...smallest,
      ...cheapestNear,
      ...paretoFrontOf(meetingObjective, ({ tradeoff }) => tradeoff),
    ]),
  ].slice(0, maxFinalists);
  const cheaperNearGoal = nearGoal.filter((candidate) => chosenTrials.some((other) => cost(candidate) < cost(other)));
  return [...new Set([...chosenTrials, ...cheaperNearGoal])].slice(0, maxFinalists);
}

/** Returns whether the objective is met with a drop about one standard error lower. */
function isNearGoal(candidate: UsableTrial, objective: Objective): boolean {
  const { drop, ...figures } = candidate.tradeoff;
  const { low = drop } = dropIntervalOf(candidate) ?? {};
  return objective.shortfall({ ...figures, drop: drop - (drop - low) / 2 }) === 0;
}

/** Returns candidates to try after failed finalists: those with the smallest drop and the fastest. */
export function reservesOf(
  scoredTrials: readonly ScoredTrial[],
  finalists: readonly ScoredTrial[],
  objective: Objective,
): readonly ScoredTrial[] {
  const candidates = selectUsableTrials(scoredTrials).filter(
    (candidate) => !finalists.includes(candidate) && objective.shortfall(candidate.tradeoff) === 0,
  );
  const byDrop = candidates.toSorted((a, b) => a.tradeoff.drop - b.tradeoff.drop);
  const timedCandidates = candidates.filter(({ tradeoff }) => tradeoff.speed !== undefined);
  const bySpeed = timedCandidates.toSorted((a, b) => (b.tradeoff.speed ?? 0) - (a.tradeoff.speed ?? 0));
  const half = maxFinalists / 2;
  return [...new Set([...byDrop.slice(0, half), ...bySpeed.slice(0, half), ...byDrop])].slice(0, maxFinalists);
}
