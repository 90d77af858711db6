/** Runs recipes on copies of a model, measures the results, and keeps the best one that meets the goal: `runRecipe`, `compress`. */
import { bytes, type Model, open, times } from "#ir";
import { type Context, completeContext } from "#pass";
import type { Task } from "../../runtime/metrics/metric.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { unsteadyNote } from "../../runtime/run/latency.ts";
import type { Evaluation } from "../measure/evaluator.ts";
import { logBatch } from "../measure/paired-metrics.ts";
import { durationText } from "../measure/time-estimate.ts";
import { type PassStep, recipeNameOf } from "../recipe/pass-steps.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { Measured, Run } from "../record/run-record.ts";
import { benchCommand, filesOf } from "../record/shell-command.ts";
import { lossWarning } from "../record/verdict.ts";
import { type Store, withStore } from "../steps/store.ts";
import { type Attempt, type Candidate, tryCandidate } from "./attempt.ts";
import { describeRun } from "./describe-run.ts";
import { errorOfRun } from "./rejection.ts";
import type { RunOptions } from "./run-options.ts";
import { type Decision, otherFrontIndices, selectResult } from "./select-result.ts";
import { defaultRounds, timeIfChanged } from "./timing.ts";
import { openTrials, type Trials } from "./trials.ts";

export interface Compressed {
  readonly run: Run;
  /** Candidates in the order of the run's variants. */
  readonly candidates: readonly Candidate[];
  /** The kept result; undefined if there is none. */
  readonly result: { readonly model: Model; readonly bytes: Uint8Array } | undefined;
  /** Files of other variants on the front, by index in `variants`, if requested. */
  readonly others: readonly { readonly place: number; readonly bytes: Uint8Array }[];
}

/**
 * Runs a recipe on a copy of a model, measures the result of each judged step relative to the original, and times the final result.
 * @param task disjoint training, calibration and test samples, and the metric.
 * @returns the model with masks folded in, its file, and all measurements as plain data.
 * @throws PithError E_ACCURACY_LOST if the result misses the goal or computes another function, E_UNSUPPORTED if nothing was changed or gained,
 * E_OPTION or E_DATA if options or data do not fit, E_STOPPED on the context's signal, and errors of the passes.
 * @example
 * const recipe = recipeFrom({ steps: [{ prune: { amount: 0.3, structured: true } }, { train: { epochs: 2 } }] });
 * const task = { train: data, calibrate: calibration, test: unseen, metric: accuracy() };
 * const { model, run } = await runRecipe(net, recipe, task, { goal: { maxDrop: 0.01 } });
 */
export async function runRecipe(
  model: Model,
  recipe: Recipe,
  task: Task,
  options: RunOptions = {},
  context: Partial<Context> = {},
): Promise<{ readonly run: Run; readonly model: Model; readonly bytes: Uint8Array }> {
  const { run, result } = await compress(model, [{ name: recipeNameOf(recipe), recipe }], task, options, context);
  if (result === undefined) throw errorOfRun(run);
  return { run, ...result };
}

/**
 * Tries candidates and keeps the best that meets the goal, chosen on a third of the test split and reported on the rest.
 * @throws PithError E_DATA if the data does not fit the model, E_STOPPED on the context's signal.
 */
export function compress(
  original: Model,
  recipes: readonly Candidate[],
  task: Task,
  options: RunOptions = {},
  context: Partial<Context> = {},
): Promise<Compressed> {
  return withStore(original, options, (store) => compressWithStore(store, original, recipes, task, options, context));
}

export async function compressWithStore(
  store: Store,
  original: Model,
  recipes: readonly Candidate[],
  task: Task,
  options: RunOptions,
  partialContext: Partial<Context>,
  earlier?: Trials,
): Promise<Compressed> {
  const startTime = performance.now();
  const date = new Date().toISOString();
  const baseContext = completeContext(partialContext);
  const warnings: string[] = [];
  const context: Context = {
    ...baseContext,
    log(event) {
      if (event.level === "warning") warnings.push(event.text);
      baseContext.log(event);
    },
  };
  const openedTrials = await openTrials(store, recipes, task, options, context, earlier);
  const { candidates } = openedTrials;
  const duration = await durationOf(openedTrials, task, (options.rounds ?? defaultRounds) * (candidates.length + 1));
  if (duration !== undefined) context.log({ id: "duration", text: duration });
  const results: Attempt[] = [];
  for (const candidate of candidates) results.push(await tryCandidate(candidate, candidates.length > 1, openedTrials));
  // A candidate alone can reserve validation samples for its options.
  const { evaluator = openedTrials.evaluator } = results[0] ?? {};
  const trials = { ...openedTrials, evaluator };
  const timing = await timeIfChanged(evaluator, results, options, context);
  const decision = await selectResult(results, timing, trials, options);
  const { attempts, rankedVariants, chosen } = decision;
  const keptAttempt = attempts[chosen ?? -1];
  if (keptAttempt?.evaluation !== undefined && evaluator.original.batchNote === undefined)
    logBatch(context, keptAttempt.evaluation.batchNote, keptAttempt.variant.name);
  if (timing?.unsteady === true) {
    const files = filesOf({ original: decision.original, paths: options.about?.paths });
    const command = benchCommand(
      files,
      options.targets?.map(({ name }) => name),
    );
    context.log({ id: "busy", text: unsteadyNote(keptAttempt && `time them: ${command}`), level: "warning" });
  }
  if (keptAttempt !== undefined) warnOfDropAndSize(keptAttempt, decision, trials.goal, context);
  const record = await describeRun(decision, trials, timing, task, options, context);
  const run: Run = { ...record, date, warnings, seconds: secondsSince(startTime) };
  if (keptAttempt?.evaluation === undefined) {
    const { code, message } = errorOfRun(run);
    return { run: { ...run, rejected: { code, message } }, candidates: recipes, result: undefined, others: [] };
  }
  const bytesOf = async ({ measured }: Evaluation): Promise<Uint8Array> => {
    const file = await store.file(measured.sha256);
    return file.read(0, file.size);
  };
  const bytes = await bytesOf(keptAttempt.evaluation);
  const result = await open(bytes);
  result.graph.operators = original.graph.operators;
  const frontFiles: { readonly place: number; readonly bytes: Uint8Array }[] = [];
  for (const place of options.front === true ? otherFrontIndices(rankedVariants, chosen) : []) {
    const other = attempts[place]?.evaluation;
    if (other !== undefined) frontFiles.push({ place, bytes: await bytesOf(other) });
  }
  return { run, candidates: recipes, result: { model: result, bytes }, others: frontFiles };
}

/** Leaves out steps that are in the store. */
async function durationOf(
  { candidates, runner, evaluator }: Trials,
  task: Task,
  timedRounds: number,
): Promise<string | undefined> {
  const openSteps = new Map<unknown, PassStep>();
  for (const { steps } of candidates)
    for (const [index, { id, done }] of (await runner.states(steps)).entries()) {
      const step = steps[index];
      if (!done && step !== undefined) openSteps.set(id, step);
    }
  return durationText([...openSteps.values()], evaluator.originalTime, task, timedRounds);
}

function warnOfDropAndSize(
  { variant, evaluation }: Attempt,
  { original }: Decision,
  goal: Trials["goal"],
  { log }: Context,
): void {
  const { comparison, verdict } = variant;
  const warning =
    comparison === undefined || goal === undefined || verdict?.met !== true
      ? undefined
      : lossWarning(comparison, verdict, goal);
  if (warning !== undefined) log({ id: "worse", text: warning, level: "warning" });
  if (evaluation !== undefined && evaluation.measured.bytes >= original.bytes)
    log({ id: "size", text: notSmallerText(original, evaluation.measured), level: "warning" });
}

function notSmallerText(original: Measured, result: Measured): string {
  const [before, after] = [original.bytes, result.bytes].map(bytes);
  const compressedText =
    original.brotli !== undefined && result.brotli !== undefined && result.brotli < original.brotli
      ? `; after brotli it is ${times(original.brotli / result.brotli)} smaller`
      : "";
  return `the result is not smaller than the original: ${after} against ${before}${compressedText}`;
}
