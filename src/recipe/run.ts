/**
 * Running recipes: steps in order on a copy of a model, measured on the way; of several recipes one result is kept (`choose`).
 *
 * The parts of the task do not overlap: training, calibration and test samples.
 */
import type { Dataset } from "../data/index.ts";
import { secondsSince } from "../evaluate/elapsed.ts";
import { brotliQuality, type Task } from "../evaluate/index.ts";
import { bytes, times } from "../evaluate/numbers.ts";
import type { RunTarget } from "../evaluate/run-target.ts";
import type { Model } from "../graph/model.ts";
import { open as openBytes } from "../onnx/index.ts";
import { type AnyPass, type Context, completeContext } from "../passes/index.ts";
import type { Measured, Run } from "../report/data.ts";
import { lossWarning } from "../report/verdict.ts";
import { type Store, type StoreOptions, withStore } from "../run/store.ts";
import { frontBeside } from "./choose.ts";
import { decide } from "./contenders.ts";
import type { Evaluation } from "./evaluator.ts";
import { recipeName } from "./names.ts";
import type { ObjectiveOptions } from "./objective.ts";
import type { GoalOptions } from "./paired-metrics.ts";
import type { PassStep } from "./pass-steps.ts";
import type { Recipe } from "./recipe.ts";
import { refusal } from "./refusal.ts";
import { runRecord } from "./run-record.ts";
import { durationText } from "./time-estimate.ts";
import { timed } from "./timing.ts";
import { isChoice, openTrials, type Trials } from "./trials.ts";
import { type Attempt, type Candidate, runCandidate } from "./variant.ts";

/** Of several results the one that the objective asks for is kept: the smallest that is about as fast, unless said. */
export interface RunOptions extends StoreOptions, ObjectiveOptions {
  /** What the report calls the original: its file's name. */
  readonly name?: string;
  /** Passes of your own, which recipes may name beside Pith's. */
  readonly passes?: readonly AnyPass[];
  /** How much worse the result may be (`usualDrop`). */
  readonly goal?: GoalOptions | undefined;
  /** Return a refused result, too. */
  readonly force?: boolean;
  /** Whether a third of the test samples is set aside to choose the best of several results (true where there are several). */
  readonly choice?: boolean | undefined;
  /** Return the other results that keep the goal, too, where none is better in bytes, accuracy and speed together (false). */
  readonly front?: boolean | undefined;
  /** Number of results that are compared on the test samples; confidence intervals are widened for as many (Bonferroni). 1 by default. */
  readonly compared?: number | undefined;
  /** Samples a run when measuring (64). */
  readonly batch?: number | undefined;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string | undefined;
  readonly threads?: number;
  /** Rounds of the timing at the end (30); 0 leaves it out. */
  readonly rounds?: number;
  /** Tokens of a sequence that is timed, and of which operations are counted (128). */
  readonly length?: number;
  /** Runtimes that the result is for: it must be right on all, and is timed on the first. */
  readonly targets?: readonly RunTarget[];
  /** The test samples before they were made ready for the model, for the report: images in their own colours. */
  readonly seen?: Dataset;
  /** Test samples that there are, where the task has some of them: the report says whether they would be enough to decide. */
  readonly available?: number | undefined;
  /** How the data was prepared, for the report. */
  readonly preprocessing?: string | undefined;
  /** Who ran it, for the report. */
  readonly about?: Partial<Pick<Run, "command" | "paths" | "machine">>;
  /** Names what the context's progress counts from here on. */
  readonly onStage?: (name: string) => void;
  /** The original is measured, or what a step made of it. */
  readonly onMeasured?: (measured: Measured) => void;
}

export interface Compressed {
  readonly run: Run;
  /** What the variants of the run are of. */
  readonly candidates: readonly Candidate[];
  /** What is kept, with its file; undefined where nothing is. */
  readonly result: { readonly model: Model; readonly bytes: Uint8Array } | undefined;
  /** Files of the others on the front, by their positions in `variants`, where they were asked for. */
  readonly others: readonly { readonly place: number; readonly bytes: Uint8Array }[];
}

/**
 * Runs a recipe on a copy of a model, and measures it beside the original after every step that is judged: bytes, accuracy with interval and paired
 * difference, parameters, operations; and speed at the end.
 *
 * @param task disjoint training, calibration and test samples, and the metric.
 * @returns the model with masks folded in, its file, and all figures as plain data.
 * @throws PithError E_ACCURACY_LOST if the result is no longer the function of the original, or misses the goal, and E_UNSUPPORTED if no
 * step changed anything, all unless `force`; E_OPTION or E_DATA if a step's options or data do not fit, E_STOPPED on the context's signal, and whatever the passes throw.
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
  const { run, result } = await compress(model, [{ name: recipeName(recipe), recipe }], task, options, context);
  if (result === undefined) throw refusal(run);
  return { run, ...result };
}

/**
 * Tries candidates one after the other, each on its own copy of the model, and keeps the best that meets the goal and still computes the original's function: by
 * default the smallest that is about as fast as the original. Of several, one is chosen on a third of the test part (validation samples, drawn by the seed); all figures are of the rest.
 * One that fails is refused with its reason; of a single candidate the failure is thrown.
 * @throws PithError E_DATA if the data does not fit the model, E_STOPPED on the context's signal.
 */
export function compress(
  original: Model,
  recipes: readonly Candidate[],
  task: Task,
  options: RunOptions = {},
  context: Partial<Context> = {},
): Promise<Compressed> {
  return withStore(original, options, (store) => compressIn(store, original, recipes, task, options, context));
}

/** `compress` in a store. */
export async function compressIn(
  store: Store,
  original: Model,
  recipes: readonly Candidate[],
  task: Task,
  options: RunOptions,
  given: Partial<Context>,
): Promise<Compressed> {
  const started = performance.now();
  const date = new Date().toISOString();
  const base = completeContext(given);
  const warnings: string[] = [];
  const context: Context = {
    ...base,
    log(event) {
      if (event.level === "warning") warnings.push(event.text);
      base.log(event);
    },
  };
  const trials = await openTrials(store, recipes, task, { ...options, choice: isChoice(recipes, options) }, context);
  const { candidates, evaluator } = trials;
  const duration = await durationOf(trials, task);
  if (duration !== undefined) context.log({ id: "duration", text: duration });
  const results: Attempt[] = [];
  for (const candidate of candidates) results.push(await runCandidate(candidate, candidates.length > 1, trials));
  const timing = await timed(evaluator, results, options, context);
  const decision = await decide(results, timing, trials, options);
  const { tried, contenders, chosen } = decision;
  const kept = tried[chosen ?? -1];
  if (kept !== undefined) warnOf(kept, trials, context);
  const record = await runRecord(decision, trials, timing, task, options, context);
  const run: Run = { ...record, date, warnings, seconds: secondsSince(started) };
  if (kept?.evaluation === undefined) {
    const { code, message } = refusal(run);
    return { run: { ...run, refused: { code, message } }, candidates: recipes, result: undefined, others: [] };
  }
  const bytesOf = async ({ measured }: Evaluation): Promise<Uint8Array> => {
    const file = await store.file(measured.sha256);
    return file.read(0, file.size);
  };
  const bytes = await bytesOf(kept.evaluation);
  const result = await openBytes(bytes);
  result.graph.operators = original.graph.operators;
  const others: { readonly place: number; readonly bytes: Uint8Array }[] = [];
  for (const place of options.front === true ? frontBeside(contenders, chosen) : []) {
    const other = tried[place]?.evaluation;
    if (other !== undefined) others.push({ place, bytes: await bytesOf(other) });
  }
  return { run, candidates: recipes, result: { model: result, bytes }, others };
}

/** About how long it will take, of steps that are not in the store. */
async function durationOf({ candidates, runner, evaluator }: Trials, task: Task): Promise<string | undefined> {
  const open = new Map<unknown, PassStep>();
  for (const { steps } of candidates)
    for (const [at, { id, done }] of (await runner.work(steps)).entries()) {
      const step = steps[at];
      if (!done && step !== undefined) open.set(id, step);
    }
  return durationText([...open.values()], evaluator.took, task);
}

/** Of a result that is kept. */
function warnOf({ variant, evaluation }: Attempt, { goal, evaluator }: Trials, { log }: Context): void {
  const { measured } = evaluator.original;
  const { comparison, verdict } = variant;
  const worse =
    comparison === undefined || goal === undefined || verdict?.met !== true
      ? undefined
      : lossWarning(comparison, verdict, goal);
  if (worse !== undefined) log({ id: "worse", text: worse, level: "warning" });
  if (evaluation !== undefined && evaluation.measured.bytes >= measured.bytes)
    log({ id: "size", text: notSmaller(measured, evaluation.measured), level: "warning" });
}

function notSmaller(original: Measured, result: Measured): string {
  const [before, after] = [original.bytes, result.bytes].map(bytes);
  const packed =
    original.brotli !== undefined && result.brotli !== undefined && result.brotli < original.brotli
      ? `; compressed (brotli, quality ${brotliQuality}) it is ${times(original.brotli / result.brotli)} smaller`
      : "";
  return `the result is not smaller than the original: ${after} against ${before}${packed}`;
}
