/**
 * Running recipes: steps in order on a copy of a model, measured after each; of several recipes the smallest result that keeps the goal.
 *
 * The parts of the task do not overlap: steps train on one, calibrate with another, and are judged on a third that they never see.
 */
import { contentHash, type Dataset } from "../data/index.ts";
import { PithError } from "../errors.ts";
import type { Goal, Task } from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import { type Context, completeContext } from "../passes/index.ts";
import { type Machine, type Measured, type Run, runFormat, type Samples, type Variant } from "../report/data.ts";
import { layerRows } from "../report/layers.ts";
import { figure } from "../report/numbers.ts";
import { bytesOf } from "../tensor/dense.ts";
import { Judge, type JudgeOptions } from "./judge.ts";
import type { Recipe } from "./recipe.ts";
import { attempt, type Candidate, type Tried } from "./variant.ts";

export interface RunOptions {
  /** What the report calls the original: its file's name. */
  readonly name?: string;
  readonly goal?: Goal | undefined;
  /** Keep a result whatever became of its accuracy. */
  readonly force?: boolean;
  /** Samples a run when measuring (64). */
  readonly batch?: number;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string | undefined;
  readonly threads?: number;
  /** Rounds of the timing at the end (30); 0 leaves it out. */
  readonly rounds?: number;
  /** How the data was prepared, for the report. */
  readonly preprocessing?: string | undefined;
  /** Who ran it, for the report. */
  readonly about?: { readonly version?: string; readonly command?: readonly string[]; readonly machine?: Machine };
  /** Names what the context's progress counts from here on. */
  readonly onStage?: (name: string) => void;
  /** The original is measured, or a variant is. */
  readonly onMeasured?: (result: Measured | Variant) => void;
}

export interface Compressed {
  readonly run: Run;
  /** What is kept, with its file; undefined where nothing is. */
  readonly result: { readonly model: Model; readonly bytes: Uint8Array } | undefined;
}

/**
 * Runs a recipe on a copy of a model, and measures it beside the original after every step: bytes, accuracy with interval and paired
 * difference, parameters, operations; and speed at the end.
 *
 * @param task disjoint parts to train on, calibrate with and judge by, and the figure that counts.
 * @returns the model with masks folded in, its file, and all figures as plain data.
 * @throws PithError E_ACCURACY_LOST if the result is no longer the function of the original, or misses the goal, and E_UNSUPPORTED if no
 * step changed anything, all unless `force`; E_OPTION or E_DATA if a step's options or data do not fit, E_STOPPED on the context's signal, and whatever the passes throw.
 * @example
 * const recipe = recipeFrom({ steps: [{ prune: { amount: 0.3, structured: true } }, { train: { epochs: 2 } }] });
 * const { model, run } = await runRecipe(net, recipe, { train, calibrate, test, metric: accuracy() }, { goal: { maxDrop: 0.01 } });
 */
export async function runRecipe(
  model: Model,
  recipe: Recipe,
  task: Task,
  options: RunOptions = {},
  context: Partial<Context> = {},
): Promise<{ readonly run: Run; readonly model: Model; readonly bytes: Uint8Array }> {
  const { run, result } = await compress(model, [{ name: recipeName(recipe), recipe }], task, options, context);
  if (result === undefined) {
    const same = run.variants[0]?.result?.sha256 === run.original.sha256;
    throw same
      ? new PithError("E_UNSUPPORTED", `${refusal(run)}.`)
      : new PithError("E_ACCURACY_LOST", `${refusal(run)}.`, { hint: "Ask for less, train longer, or force it." });
  }
  return { run, ...result };
}

/**
 * Tries candidates one after the other, each on its own copy of the model, and keeps the smallest that keeps the goal and the function.
 * One that fails is refused with its reason; of a single candidate the failure is thrown.
 * @throws PithError E_DATA if the data does not fit the model, E_STOPPED on the context's signal.
 */
export async function compress(
  original: Model,
  candidates: readonly Candidate[],
  task: Task,
  options: RunOptions = {},
  given: Partial<Context> = {},
): Promise<Compressed> {
  const started = performance.now();
  const date = new Date().toISOString();
  const base = completeContext(given);
  const warnings: string[] = [];
  const context: Context = {
    ...base,
    open: async (reference) => (reference === "original" ? original.clone() : base.open(reference)),
    log(event) {
      if (event.id !== "epoch") warnings.push(event.text);
      base.log(event);
    },
  };
  const { name = "original", goal, onStage = () => {}, onMeasured = () => {} } = options;
  onStage("original");
  const judge = await Judge.create(original, task, judgeOptions(name, options), context);
  onMeasured(judge.original.measured);

  const tried: Tried[] = [];
  for (const candidate of candidates) {
    const result = await attempt(original, candidate, candidates.length > 1, { judge, task, goal, context, onStage });
    tried.push(result);
    onMeasured(result.variant);
  }
  const chosen = choose(tried, options.force === true);
  const kept = chosen === undefined ? undefined : tried[chosen];
  const standing = kept?.standing;
  const { rounds = 30 } = options;
  if (standing !== undefined && rounds > 0) onStage("time");
  const run: Run = {
    format: runFormat,
    version: options.about?.version,
    date,
    command: options.about?.command,
    seed: context.seed,
    machine: options.about?.machine,
    data: await dataRecord(task, judge, options),
    metric: { name: task.metric.name, better: task.metric.better },
    goal,
    original: judge.original.measured,
    variants: tried.map(({ variant }) => variant),
    chosen,
    latency: standing === undefined || rounds === 0 ? undefined : await judge.time(standing.model, rounds),
    disagreements: standing === undefined ? [] : judge.disagreements(standing),
    ...(standing === undefined ? {} : { layers: await layersOf(judge.original.model, standing.model, kept?.variant) }),
    warnings,
    seconds: secondsSince(started),
  };
  return { run, result: standing === undefined ? undefined : { model: standing.model, bytes: standing.bytes } };
}

/** "prune + train + quantize" */
export function recipeName(recipe: Recipe): string {
  return recipe.steps.map(({ id }) => id).join(" + ");
}

/** Why nothing was kept, as a sentence without its full stop. */
export function refusal(run: Run): string {
  const [only, ...more] = run.variants;
  if (only === undefined) return "There was nothing to try";
  if (more.length > 0) return "None of what was tried keeps the goal";
  if (only.refused !== undefined) return only.refused[0]?.toUpperCase() + only.refused.slice(1);
  const { comparison, verdict } = only;
  if (comparison === undefined || verdict === undefined) return "Nothing was kept";
  const { metric, original, candidate } = comparison;
  const limit = figure(metric, run.goal?.maxDrop ?? 0);
  return `${metric} goes from ${figure(metric, original.value)} to ${figure(metric, candidate.value)}, more than the ${limit} allowed`;
}

/** The smallest that is not refused and keeps the goal; by force the smallest there is, if none is like that. */
function choose(tried: readonly Tried[], force: boolean): number | undefined {
  const sound = ({ variant: { refused, verdict } }: Tried): boolean => refused === undefined && verdict?.met !== false;
  const places = tried.flatMap(({ standing }, place) => (standing === undefined ? [] : [place]));
  const smallest = (among: readonly number[]): number | undefined =>
    among.toSorted((a, b) => bytesAt(tried, a) - bytesAt(tried, b))[0];
  const best = smallest(places.filter((place) => tried.slice(place, place + 1).some(sound)));
  return best ?? (force ? smallest(places) : undefined);
}

function bytesAt(tried: readonly Tried[], place: number): number {
  return tried[place]?.standing?.measured.bytes ?? Number.POSITIVE_INFINITY;
}

function layersOf(original: Model, result: Model, variant: Variant | undefined): ReturnType<typeof layerRows> {
  return layerRows(
    original,
    result,
    (variant?.steps ?? []).flatMap(({ changes }) => changes),
  );
}

async function dataRecord(task: Task, judge: Judge, { preprocessing }: RunOptions): Promise<Run["data"]> {
  return {
    name: task.test.name,
    preprocessing,
    train: task.train === undefined ? undefined : await samplesOf(task.train),
    calibrate: task.calibrate === undefined ? undefined : await samplesOf(task.calibrate),
    test: await samplesOf(task.test),
    chance: judge.chance,
  };
}

/** Parts above this many bytes are not hashed: that would take longer than the rest. */
const mostHashed = 2 ** 30;

/** A stream that is not counted may not come twice the same, and may not end. */
async function samplesOf(dataset: Dataset): Promise<Samples> {
  const { count } = dataset;
  if (count === undefined) return { count, sha256: undefined };
  let bytes = 0;
  for await (const batch of dataset.batches({ size: 1 })) {
    for (const dense of Object.values(batch)) bytes += dense.type === "string" ? 0 : bytesOf(dense).byteLength;
    break;
  }
  return { count, sha256: bytes * count > mostHashed ? undefined : await contentHash(dataset) };
}

function judgeOptions(name: string, { batch, output, threads }: RunOptions): JudgeOptions {
  return {
    name,
    ...(batch === undefined ? {} : { batch }),
    ...(output === undefined ? {} : { output }),
    ...(threads === undefined ? {} : { threads }),
  };
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
