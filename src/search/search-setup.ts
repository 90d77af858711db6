/** Opens a search: measures the original on the search samples and lists all candidates. */
import { counted, integer, type Model } from "#ir";
import type { Context } from "#pass";
import { minSamples } from "../judge/recipe/open-samples.ts";
import type { RecipeSamples } from "../judge/recipe/recipe.ts";
import type { Compressed } from "../judge/run/compress.ts";
import type { RunOptions } from "../judge/run/run-options.ts";
import { openTrials, type Trials } from "../judge/run/trials.ts";
import type { JobPool } from "../judge/steps/pool.ts";
import type { Store } from "../judge/steps/store.ts";
import type { Task } from "../runtime/metrics/metric.ts";
import type { BudgetOptions } from "./budget.ts";
import { listCombinations, type OffersOptions } from "./candidates.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import { firstLookSamples, type SearchSplits, splitForSearch } from "./search-splits.ts";

/** Options of a run, without `choice`, `compared` and `passes`: a search decides these itself and uses only Pith's passes. */
export interface SearchOptions
  extends Omit<RunOptions, "choice" | "compared" | "passes">,
    BudgetOptions,
    Pick<OffersOptions, "techniques"> {
  /** Called with each result that is better than all earlier ones. The result was evaluated on the search samples only. */
  readonly onBest?: (best: Compressed) => Promise<void>;
  /** Numbers of calibration and training samples, which recipes of results record. */
  readonly samples?: RecipeSamples | undefined;
}

export interface PooledSearchOptions extends SearchOptions {
  /** Pool of processes that evaluate candidates in parallel. They work with the same `resumeFolder`. */
  readonly jobPool?: JobPool | undefined;
}

export interface SearchSetup {
  readonly store: Store;
  readonly original: Model;
  readonly task: Task;
  readonly options: PooledSearchOptions;
  readonly context: Context;
  readonly splits: SearchSplits;
  readonly combinations: readonly Combination[];
  readonly trials: Trials;
  readonly stage: { name?: string };
  /** Stops the running candidate some time after the time limit. */
  readonly timeLimitController: AbortController;
}

export async function setUpSearch(
  store: Store,
  original: Model,
  task: Task,
  options: PooledSearchOptions,
  context: Context,
): Promise<SearchSetup> {
  const splits = splitForSearch(task.test);
  const target = (options.targets ?? []).map(({ name }) => name);
  const combinations = await listCombinations(await store.open(store.original), task, { ...options, target });
  const timeLimitController = new AbortController();
  let isOpened = false;
  const stage: SearchSetup["stage"] = {};
  const searchContext: Context = {
    ...context,
    signal: AbortSignal.any([context.signal, timeLimitController.signal]),
    // The record of each candidate already contains the messages of its passes.
    log: (event) => isOpened || context.log(event),
  };
  const trials = await openTrials(
    store,
    combinations.map((combination) => ({ name: combination.name, recipe: recipeOf(combination) })),
    { ...task, test: splits.search },
    {
      ...options,
      choice: true,
      firstLook: firstLookSamples,
      onMeasured: (measured) => isOpened || options.onMeasured?.(measured),
      onStage: (name) => options.onStage?.(stage.name === undefined ? name : `${stage.name}: ${name}`),
    },
    searchContext,
  );
  if (options.force !== true) trials.evaluator.metrics.requireAboveChance();
  isOpened = true;
  return { store, original, task, options, context, splits, combinations, trials, timeLimitController, stage };
}

export function warnOfSharedSamples({ splits: { test, isApart }, context }: SearchSetup): void {
  if (isApart || test.count === undefined) return;
  const text = `the search and the evaluation use the same ${counted(test.count, "sample")}: give ${integer(2 * minSamples)} or more, so that half are for the evaluation only`;
  context.log({ id: "samples", text, level: "warning" });
}

/** @throws PithError E_DATA if the original is at chance level on the evaluation samples, unless `force`. */
export async function openFinalTrials({ store, task, options, context, splits, trials }: SearchSetup): Promise<Trials> {
  if (!splits.isApart) return trials;
  const quietContext: Context = { ...context, log: () => {} };
  const quietOptions = { ...options, choice: false, onMeasured: () => {}, onStage: () => {} };
  return openTrials(store, [], { ...task, test: splits.test }, quietOptions, quietContext);
}
