/** What a search works on: a model measured on the samples that are searched on, and all combinations for it. */
import type { Task } from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import type { RecipeSamples } from "../recipe/recipe.ts";
import type { RunOptions } from "../recipe/run.ts";
import { openTrials, type Trials } from "../recipe/trials.ts";
import type { Ahead } from "../run/pool.ts";
import type { Store } from "../run/store.ts";
import type { BudgetOptions } from "./budget.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import type { Finalists } from "./finals.ts";
import { combinationsFor, type OffersOptions } from "./offers.ts";
import { divided, firstLook, type SearchParts } from "./parts.ts";

export interface SearchOptions extends RunOptions, BudgetOptions, Pick<OffersOptions, "techniques"> {
  /** A better one was found: judged on the samples that are searched on. */
  readonly onBest?: (best: Finalists) => Promise<void>;
  /** Numbers of samples to calibrate and to train on, which the recipes of results say. */
  readonly samples?: RecipeSamples | undefined;
}

/** What only Pith's own commands have. */
export interface AheadOptions extends SearchOptions {
  /** Tries several combinations in parallel in other processes, by `tryIn` with the same `resumeFolder`. */
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
  /** The combination that is being tried, for what is said of its steps. */
  readonly trying: string[];
  /** Ends what is being tried when the time is over. */
  readonly late: AbortController;
}

/** @throws PithError as `search`. */
export async function openSearchTask(
  store: Store,
  original: Model,
  task: Task,
  options: AheadOptions,
  context: Context,
): Promise<SearchTask> {
  const parts = divided(task.test, context.seed);
  const target = (options.targets ?? []).map(({ name }) => name);
  const all = combinationsFor(await store.open(store.original), task, { ...options, target });
  const late = new AbortController();
  let isOpened = false;
  const trying: string[] = [];
  const quiet: Context = {
    ...context,
    signal: AbortSignal.any([context.signal, late.signal]),
    // What passes say of each combination is in its record.
    log: (event) => isOpened || context.log(event),
  };
  const trials = await openTrials(
    store,
    all.map((one) => ({ name: one.name, recipe: recipeOf(one) })),
    { ...task, test: parts.search },
    {
      ...options,
      choice: true,
      firstLook,
      onMeasured: (measured) => isOpened || options.onMeasured?.(measured),
      onStage: (name) => options.onStage?.([...trying, name].join(": ")),
    },
    quiet,
  );
  if (options.force !== true) trials.evaluator.metrics.requireAboveChance();
  isOpened = true;
  return { store, original, task, options, context, parts, all, trials, late, trying };
}

/**
 * Measures the original on the samples that judge in the end, before anything is tried.
 * @throws PithError E_DATA where it does no better on them than chance, unless `force`.
 */
export async function requireProof({ store, task, options, context, parts }: SearchTask): Promise<void> {
  if (!parts.isApart) return;
  const quiet: Context = { ...context, log: () => {} };
  const silent = { ...options, choice: false, onMeasured: () => {}, onStage: () => {} };
  await openTrials(store, [], { ...task, test: parts.test }, silent, quiet);
}
