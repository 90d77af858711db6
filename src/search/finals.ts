/** Evaluates candidates of a search: the best so far on the search samples, the finalists on other samples. */
import { counted } from "#ir";
import type { Context } from "#pass";
import type { Dataset } from "../data/index.ts";
import { isWithin } from "../judge/compare/goal.ts";
import { type Objective, objectiveOf, paretoFrontOf } from "../judge/measure/objective.ts";
import type { Run } from "../judge/record/run-record.ts";
import { dropWithSearch } from "../judge/record/verdict.ts";
import { type Compressed, compressWithStore } from "../judge/run/run.ts";
import type { Trials } from "../judge/run/trials.ts";
import { searchParts } from "./parts.ts";
import {
  distinctUsableOf,
  intervalOf,
  recordOf,
  resolveRecipe,
  type Scored,
  sampleCountOf,
  type Usable,
} from "./record.ts";
import type { Rounds } from "./rounds.ts";
import type { PooledSearchOptions, SearchTask } from "./search-task.ts";

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

export class Finals {
  readonly #task: SearchTask;
  readonly #finalTrials: Trials;
  readonly #rounds: Rounds;
  readonly #objective: Objective;

  constructor(task: SearchTask, finalTrials: Trials, rounds: Rounds, objective: Objective) {
    this.#task = task;
    this.#finalTrials = finalTrials;
    this.#rounds = rounds;
    this.#objective = objective;
  }

  async evaluateInterim(best: Scored): Promise<Compressed> {
    const { options, context, parts } = this.#task;
    const silentContext: Context = { ...context, log: () => {}, progress: () => {} };
    const quietOptions = { ...options, rounds: 0, front: false, onStage: () => {} };
    const result = await this.#evaluate([best], parts.search, quietOptions, silentContext);
    return this.#withRecord(result, true);
  }

  async evaluateFinalists(): Promise<Compressed> {
    const { context, parts, options, trials } = this.#task;
    const { tried } = this.#rounds;
    const bySize = objectiveOf({ purpose: "size" }, trials.goal?.maxDrop, trials.evaluator.original.measured);
    const finalists = finalistsOf(tried, this.#objective, bySize);
    const [triedText, finalistsText] = [counted(tried.length, "candidate"), counted(finalists.length, "finalist")];
    const samplesText = `on ${parts.isApart ? "other" : "the same"} samples`;
    context.log({ id: "finalists", text: `${triedText} tried; ${finalistsText} evaluated ${samplesText}` });
    const log: Context["log"] = (event) => ["resume", "one-class"].includes(event.id) || context.log(event);
    const evaluateAll = (scored: readonly Scored[], evaluationOptions: PooledSearchOptions) =>
      this.#evaluate(scored, parts.test, evaluationOptions, { ...context, log });
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
    scored: readonly Scored[],
    test: Dataset,
    evaluationOptions: PooledSearchOptions,
    context: Context,
  ): Promise<Compressed> {
    const { store, original, task, options, parts, trials } = this.#task;
    // The number of compared candidates widens the confidence intervals.
    const isApart = parts.isApart && test === parts.test;
    const candidates = scored.map(({ combination, attempt, figures }) => ({
      name: combination.name,
      recipe: resolveRecipe(combination, attempt, options.samples),
      ...(isApart && figures && { searched: { drop: figures.drop, samples: sampleCountOf(attempt) ?? 0 } }),
    }));
    const compared = Math.max(1, isApart ? scored.length : this.#rounds.tried.length);
    // Without labels, a run has no goal for trained candidates by default.
    const goal = trials.goal === undefined ? evaluationOptions.goal : { stated: false, ...trials.goal };
    const storedParts =
      evaluationOptions.seen && evaluationOptions.seen.count === task.test.count
        ? searchParts(evaluationOptions.seen)
        : undefined;
    const samplesToShow = storedParts && { seen: test === parts.search ? storedParts.search : storedParts.test };
    const runOptions = { ...evaluationOptions, ...samplesToShow, goal, choice: false, compared, onMeasured: () => {} };
    const earlier = test === parts.search ? trials : this.#finalTrials;
    return compressWithStore(store, original, candidates, { ...task, test }, runOptions, context, earlier);
  }

  #withRecord(result: Compressed, isInterim = false): Compressed {
    const { trials, options, parts } = this.#task;
    const { samples } = trials.evaluator.originalTime;
    const search = recordOf(this.#rounds.tried, samples, parts.isApart, options.samples, isInterim, options.purpose);
    return { ...result, run: { ...result.run, search } };
  }
}

/** Each additional finalist widens the confidence intervals. */
export const maxFinalists = 4;

/** Selects the cheapest by the objective, the smallest that meets `bySize`, the cheapest near the goal, and others of the Pareto front. */
export function finalistsOf(tried: readonly Scored[], objective: Objective, bySize: Objective): readonly Scored[] {
  const usableCandidates = distinctUsableOf(tried);
  if (usableCandidates.length === 0) return tried.slice(0, maxFinalists);
  const cost = (candidate: Usable): number => objective.cost(candidate.figures);
  const misses = (candidate: Usable): number => objective.shortfall(candidate.figures);
  const meetingObjective = usableCandidates
    .filter((candidate) => misses(candidate) === 0)
    .toSorted((a, b) => cost(a) - cost(b));
  if (meetingObjective.length === 0)
    return usableCandidates.toSorted((a, b) => misses(a) - misses(b)).slice(0, maxFinalists);
  const smallest = usableCandidates
    .filter((candidate) => bySize.shortfall(candidate.figures) === 0)
    .toSorted((a, b) => a.figures.size - b.figures.size)
    .slice(0, 1);
  const cheapest = meetingObjective.slice(0, Math.ceil(maxFinalists / 2));
  const nearGoal = usableCandidates
    .filter((candidate) => isNear(candidate, objective))
    .toSorted((a, b) => cost(a) - cost(b));
  const cheapestNear = nearGoal.slice(0, 1);
  const chosen = [
    ...new Set([
      ...cheapest,
      ...smallest,
      ...cheapestNear,
      ...paretoFrontOf(meetingObjective, ({ figures }) => figures),
    ]),
  ].slice(0, maxFinalists);
  const cheaperNearGoal = nearGoal.filter((candidate) => chosen.some((other) => cost(candidate) < cost(other)));
  return [...new Set([...chosen, ...cheaperNearGoal])].slice(0, maxFinalists);
}

/** Returns whether the objective is met with a drop about one standard error lower. */
function isNear(candidate: Usable, objective: Objective): boolean {
  const { drop, ...figures } = candidate.figures;
  const { low = drop } = intervalOf(candidate) ?? {};
  return objective.shortfall({ ...figures, drop: drop - (drop - low) / 2 }) === 0;
}

/** Returns candidates to try after failed finalists: those with the smallest drop and the fastest. */
export function reservesOf(
  tried: readonly Scored[],
  finalists: readonly Scored[],
  objective: Objective,
): readonly Scored[] {
  const candidates = distinctUsableOf(tried).filter(
    (candidate) => !finalists.includes(candidate) && objective.shortfall(candidate.figures) === 0,
  );
  const byDrop = candidates.toSorted((a, b) => a.figures.drop - b.figures.drop);
  const timedCandidates = candidates.filter(({ figures }) => figures.speed !== undefined);
  const bySpeed = timedCandidates.toSorted((a, b) => (b.figures.speed ?? 0) - (a.figures.speed ?? 0));
  const half = maxFinalists / 2;
  return [...new Set([...byDrop.slice(0, half), ...bySpeed.slice(0, half), ...byDrop])].slice(0, maxFinalists);
}
