/** Runs two models on the same inputs, so that their outputs can be compared: the original, then the result. */
import { hasRandomNodes, haveSameFixedSeeds, withFixedSeeds } from "#analysis";
import { type Dataset, range, selectColumns } from "#batches";
import { asPithError, type Batch, Miss, type Model, operatorName, PithError, stripPeriod, throwIfAborted } from "#ir";
import type { Engine, LoadOptions, Session } from "../../core/engine/index.ts";
import { findUnknownOperator, type UnknownOperator } from "../../core/engine/runtime-messages.ts";
import { nextCaches } from "../run/decoding.ts";
import { largestDifference } from "../run/difference.ts";
import { explainFailedLoad, ResultError } from "../run/load-check.ts";
import { randomInputs } from "../run/random-inputs.ts";
import { feedsFor } from "../run/runner.ts";
import { hasLargeWeights } from "../run/size-limits.ts";
import { candidateSizes, minSamples } from "./candidate-sizes.ts";
import { gatherSamples, type ModelRun, type RandomRunOptions, runOriginal } from "./original-runs.ts";
import { withSmallerImages } from "./smaller-images.ts";
import { withoutOperators } from "./unknown-operators.ts";

export interface ComparedModels {
  readonly engine: Engine;
  readonly original: Model;
  readonly result: Model;
}

export interface PairedRun extends ModelRun {
  readonly actual: Batch;
  /** Outputs of the original with the same random numbers and the inputs of another sample. */
  readonly exchanged?: Batch | undefined;
}

export interface PairedRuns {
  readonly pairs: readonly PairedRun[];
  /** Operators that the runtime lacks and that were removed from both. */
  readonly without: readonly string[];
  /** The models as they ran. */
  readonly original: Model;
  readonly result: Model;
  /** Reason why values cannot be compared: different random numbers. */
  readonly otherDraws: string | undefined;
  readonly leftOut?: number;
}

export interface PairOptions extends RandomRunOptions {
  readonly optimize?: boolean;
}

type ResultRunOptions = Pick<PairOptions, "optimize" | "signal" | "progress"> & Pick<LoadOptions, "threads">;

/** Maximum multiply-accumulates of a run on one thread. */
const maxWorkOfThread = 1e8;

/** Runs both models on random inputs; a Miss if they cannot be compared. @throws ResultError if only the result fails, E_ENGINE_MISSING, E_STOPPED. */
export async function pairedRuns(models: ComparedModels, options: PairOptions): Promise<PairedRuns | Miss> {
  options.progress?.(0, 2 * minSamples);
  const smaller = withSmallerImages(models);
  if (smaller !== undefined) {
    // A failure on smaller images does not count: the model may need its full size.
    const runs = await runBoth({ ...models, ...smaller }, options).catch((error: unknown) => {
      if (error instanceof ResultError) return new Miss(error.message);
      throw error;
    });
    if (!(runs instanceof Miss)) return runs;
  }
  return runBoth(models, options);
}

/** Returns the samples, or random inputs without data, and both models as they ran on them. */
export async function inputsFor(
  models: ComparedModels,
  data: Dataset | undefined,
  options: Omit<PairOptions, "sizes">,
) {
  if (data !== undefined) return { ...models, samples: data, perRun: 1 };
  const runs = await pairedRuns(models, { sizes: "one", ...options });
  if (runs instanceof Miss) return runs;
  if (runs.otherDraws !== undefined) return new Miss(runs.otherDraws);
  const samples = completeRuns(runs.pairs).map(({ feeds }) => feeds);
  return { original: runs.original, result: runs.result, samples, perRun: runs.pairs[0]?.samples ?? 1 };
}

/** @param unknown operators that this runtime lacks: the load is repeated without them. */
async function runBoth(
  models: ComparedModels,
  options: PairOptions,
  unknown: readonly UnknownOperator[] = [],
): Promise<PairedRuns | Miss> {
  const runnable = unknown.length === 0 ? models : withoutOperators(models, unknown);
  if (runnable === undefined) {
    const operators = unknown.map(operatorName).join(", ");
    throw new PithError("E_ENGINE", `This runtime has no ${operators}, and without it there is nothing to compare.`);
  }
  const { engine } = models;
  const { original, result } = runnable;
  const inputs = randomInputs(original);
  const { undrawable } = inputs;
  if (undrawable !== undefined && options.set?.[undrawable] === undefined)
    return new Miss(`no random numbers can be drawn for input "${undrawable}"`);
  const [likeliest] = candidateSizes(original, inputs, options);
  const threads = likeliest !== undefined && likeliest.work < maxWorkOfThread ? 1 : undefined;
  const load = { optimize: options.optimize ?? true, threads, spinning: false, lean: hasLargeWeights(original) };
  let session: Session;
  try {
    session = await engine.load(withFixedSeeds(original), load);
  } catch (error) {
    const engineError = asPithError(error);
    const operator = findUnknownOperator(engineError);
    if (operator !== undefined && !unknown.some(({ domain, op }) => domain === operator.domain && op === operator.op))
      return runBoth(models, options, [...unknown, operator]);
    if (engineError.code === "E_ENGINE_MISSING") throw error;
    return new Miss(`the original does not run: ${stripPeriod(engineError.message)}`);
  }
  let originalRuns: Awaited<ReturnType<typeof runOriginal>>;
  try {
    originalRuns = await runOriginal(session, original, namesInBoth(original, result), inputs, options);
  } finally {
    await session.release();
  }
  if (originalRuns instanceof Miss) return originalRuns;
  const resultRuns = await pairWithResult({ engine, original, result }, originalRuns.runs, { ...options, threads });
  return { ...resultRuns, without: unknown.map(operatorName), leftOut: originalRuns.leftOut };
}

export function namesInBoth(model: Model, other: Model): readonly string[] {
  const names = new Set(other.graph.outputs.map(({ name }) => name));
  return model.graph.outputs.flatMap(({ name, foreign }) =>
    names.has(name) && foreign?.type === undefined && foreign?.container === undefined ? [name] : [],
  );
}

/** Returns the runs whose cache is not an output of the run before. */
export const completeRuns = <R extends ModelRun>(runs: readonly R[]): readonly R[] =>
  runs.filter(({ cache }) => cache?.isFirst !== false);

/** Runs the result on the inputs of the original's runs. @throws ResultError if it does not load or run. */
export async function pairWithResult(
  models: ComparedModels,
  runs: readonly ModelRun[],
  options: ResultRunOptions,
): Promise<PairedRuns> {
  const { engine, original, result } = models;
  const pairs = await runResult(engine, result, runs, options);
  const otherDraws = await explainOtherDraws(models, runs, options);
  const base = { without: [], original, result, otherDraws };
  if (otherDraws !== undefined || !hasRandomNodes(original)) return { ...base, pairs };
  const exchangedRuns = await runResult(engine, original, exchangeInputs(runs), options);
  return { ...base, pairs: pairs.map((pair, index) => ({ ...pair, exchanged: exchangedRuns[index]?.actual })) };
}

/** Returns the runs with the inputs of another sample at each position. */
function exchangeInputs(runs: readonly ModelRun[]): readonly ModelRun[] {
  return runs.map((run, index) => {
    const { feeds, samples } = run;
    if (samples <= 1) return { ...run, feeds: runs[(index + 1) % runs.length]?.feeds ?? feeds };
    const nextPositions = range(samples, 1).map((position) => position % samples);
    return { ...run, feeds: gatherSamples(run, nextPositions) };
  });
}

/** Runs a model on the inputs of the runs. @throws ResultError if it fails. */
export async function runResult(
  engine: Engine,
  model: Model,
  runs: readonly ModelRun[],
  { optimize = true, threads, signal, progress }: ResultRunOptions = {},
): Promise<readonly PairedRun[]> {
  const load = { optimize, threads, spinning: false };
  const session = await engine.load(withFixedSeeds(model), load).catch(async (error: unknown) => {
    throw error instanceof PithError ? await explainFailedLoad(engine, model, error) : error;
  });
  try {
    const pairs: PairedRun[] = [];
    let caches: Batch = {};
    for (const run of runs) {
      const { feeds, expected, cache } = run;
      throwIfAborted(signal, "The comparison was stopped.");
      if (cache?.isFirst !== false) caches = {};
      const states = cache?.states ?? [];
      const names = Object.keys(expected);
      const fetched = [...new Set([...names, ...states.map(({ output }) => output)])];
      const outputs = await session.run(feedsFor(model, { ...feeds, ...caches }), fetched).catch((error: unknown) => {
        const engineError = asPithError(error);
        throw new ResultError(engineError, `The original runs, the result does not: ${engineError.message}`, false);
      });
      caches = nextCaches(states, caches, outputs, cache?.isFirst === true);
      pairs.push({ ...run, actual: selectColumns(outputs, names) });
      progress?.(runs.length + pairs.length, 2 * runs.length);
    }
    return pairs;
  } finally {
    await session.release();
  }
}

/** Returns the reason if the outputs depend on random numbers that differ. */
async function explainOtherDraws(
  { engine, original, result }: ComparedModels,
  runs: readonly ModelRun[],
  { optimize = true, signal }: ResultRunOptions,
): Promise<string | undefined> {
  if (!haveSameFixedSeeds(original, result)) return "the model draws random numbers, and the result draws other ones";
  if (!hasRandomNodes(original)) return undefined;
  const secondRun = await runResult(engine, original, runs, { optimize, signal });
  const differs = ({ expected, actual }: PairedRun): boolean =>
    Object.entries(expected).some(([name, dense]) => largestDifference(dense, actual[name]) > 0);
  return secondRun.some(differs) ? "the model draws random numbers, and other ones in each run" : undefined;
}
