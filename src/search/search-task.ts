/** Opens a search: the original, measured on the search samples, and all candidates. */

import type { Model } from "../core/graph/model.ts";
import { counted, integer } from "../core/numbers.ts";
import type { Context } from "../core/pass/pass.ts";
import type { RecipeSamples } from "../judge/recipe/recipe.ts";
import type { Compressed, RunOptions } from "../judge/run/run.ts";
import { openTrials, type Trials } from "../judge/run/trials.ts";
import type { Ahead } from "../judge/steps/pool.ts";
import type { Store } from "../judge/steps/store.ts";
import type { Task } from "../runtime/metrics/types.ts";
import type { BudgetOptions } from "./budget.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import { combinationsFor, type OffersOptions } from "./offers.ts";
import { firstLook, minSamples, type SearchParts, searchParts } from "./parts.ts";

/** The search chooses results itself, and uses only Pith's passes. */
export interface SearchOptions
  extends Omit<RunOptions, "choice" | "compared" | "passes">,
    BudgetOptions,
    Pick<OffersOptions, "techniques"> {
  /** Called with each result that is better than all before. It was evaluated on the search samples only. */
  readonly onBest?: (best: Compressed) => Promise<void>;
  /** Numbers of calibration and training samples, for the recipes of results. */
  readonly samples?: RecipeSamples | undefined;
}

export interface AheadOptions extends SearchOptions {
  /** Other processes that try candidates in parallel by `tryIn` with the `resumeFolder` of this search. */
  readonly ahead?: Ahead | undefined;
}

export interface SearchTask {
  readonly store: Store;
  readonly original: Model;
  readonly task: Task;
  readonly options: AheadOptions;
  readonly context: Context;
  readonly parts: SearchParts;
  readonly all: readonly Combination[];
  readonly trials: Trials;
  readonly stage: { name?: string };
  /** Stops the current candidate at the time limit. */
  readonly late: AbortController;
}

export async function openSearchTask(
  store: Store,
  original: Model,
  task: Task,
  options: AheadOptions,
  context: Context,
): Promise<SearchTask> {
  const parts = searchParts(task.test, context.seed);
  const target = (options.targets ?? []).map(({ name }) => name);
  const all = combinationsFor(await store.open(store.original), task, { ...options, target });
  const late = new AbortController();
  let isOpened = false;
  const stage: SearchTask["stage"] = {};
  const quiet: Context = {
    ...context,
    signal: AbortSignal.any([context.signal, late.signal]),
    // Messages of passes are in the record of each candidate.
    log: (event) => isOpened || context.log(event),
  };
  const trials = await openTrials(
    store,
    all.map((combination) => ({ name: combination.name, recipe: recipeOf(combination) })),
    { ...task, test: parts.search },
    {
      ...options,
      choice: true,
      firstLook,
      onMeasured: (measured) => isOpened || options.onMeasured?.(measured),
      onStage: (name) => options.onStage?.(stage.name === undefined ? name : `${stage.name}: ${name}`),
    },
    quiet,
  );
  if (options.force !== true) trials.evaluator.metrics.requireAboveChance();
  isOpened = true;
  return { store, original, task, options, context, parts, all, trials, late, stage };
}

/** Warns if there are so few samples that the same ones rank candidates and evaluate finalists. */
export function warnOfFew({ parts: { test, isApart }, context }: SearchTask): void {
  if (isApart || test.count === undefined) return;
  const text = `the search and the evaluation use the same ${counted(test.count, "sample")}: give ${integer(2 * minSamples)} or more, so that half are for the evaluation only`;
  context.log({ id: "samples", text, level: "warning" });
}

/** Evaluates the original before anything is tried. @throws PithError E_DATA if it is at chance level, unless `force`. */
export async function requireAboveChance({ store, task, options, context, parts }: SearchTask): Promise<void> {
  if (!parts.isApart) return;
  const quiet: Context = { ...context, log: () => {} };
  const silent = { ...options, choice: false, onMeasured: () => {}, onStage: () => {} };
  await openTrials(store, [], { ...task, test: parts.test }, silent, quiet);
}
