/**
 * Runs two models on the same random inputs: first the original, which is then released, then the other.
 *
 * The numbers of samples and runs depend on the cost of a sample. Unknown sizes are tried from the most to the least likely; sizes that the original
 * rejects are skipped. Operators that the runtime lacks are removed from both (`unknown-operators.ts`).
 */

import { cachePerRevision, cost, hasBatchAxis, hasRandomNodes, haveSameDraws, infer, withFixedDraws } from "#analysis";
import type { Batch, Dense, Dim, Model, Value } from "#ir";
import {
  asPithError,
  bytesFor,
  isFloat,
  isSymbolic,
  Miss,
  memoize,
  operatorName,
  PithError,
  random,
  storedBytes,
  stripPeriod,
  throwIfAborted,
  toNumbers,
} from "#ir";
import type { Engine, LoadOptions, Session } from "../../core/engine/index.ts";
import { findUnknownOperator, type UnknownOperator } from "../../core/engine/runtime-messages.ts";
import { bytes } from "../../core/numbers.ts";
import { range } from "../../data/batches/indexed.ts";
import { gatherRows, mapColumns, selectColumns, sliceRows } from "../../data/batches/rows.ts";
import type { State } from "../../data/batches/states.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { runCachedSteps } from "./cached-steps.ts";
import { nextCaches } from "./decoding.ts";
import { largestDifference } from "./difference.ts";
import { hasLargeWeights } from "./large-weights.ts";
import { explainFailedLoad, ResultFails } from "./load-check.ts";
import { imageSides } from "./random-images.ts";
import {
  type Assignment,
  type Guess,
  guesses,
  lengthsOf,
  likelyLengths,
  type RandomInputs,
  randomInputs,
  type Shapes,
  type TrialSizes,
} from "./random-inputs.ts";
import { feedsFor } from "./run.ts";
import { withoutOperators } from "./unknown-operators.ts";

export interface ModelRun {
  readonly feeds: Batch;
  /** Size of the first axis of inputs and outputs; 1 if no axis counts samples. */
  readonly samples: number;
  readonly expected: Batch;
  /** Cache of a language model: after the first run of its sequences, it is an output of the same model's run before, and not part of `feeds`. */
  readonly cache?: { readonly states: readonly State[]; readonly isFirst: boolean };
}

export interface Pair extends ModelRun {
  readonly got: Batch;
  /** Outputs of an original that draws random numbers: the same numbers, with the inputs of another sample. They vary by the inputs alone. */
  readonly exchanged?: Batch | undefined;
}

export interface PairedRuns {
  readonly pairs: readonly Pair[];
  /** Operators that the runtime lacks and that were removed from both. */
  readonly without: readonly string[];
  /** The models as they ran: without these operators, for smaller images. */
  readonly original: Model;
  readonly result: Model;
  /** Reason why values cannot be compared: the models draw different random numbers. */
  readonly otherDraws: string | undefined;
  /** Number of random samples that were left out because outputs of the original are not finite. */
  readonly leftOut?: number;
}

export interface PairOptions {
  /** "one": many samples of one size. "several": a few runs of growing sizes. */
  readonly sizes: "one" | "several";
  readonly known?: ReadonlyMap<string, number>;
  /** Values for inputs of the original that the other model no longer has. */
  readonly set?: Batch;
  readonly seed: number;
  /** Maximum number of samples (32); the minimum is four. */
  readonly samples?: number | undefined;
  /** Maximum multiply-accumulates of all runs of a model (1e11), except for the minimum of samples. */
  readonly work?: number | undefined;
  readonly optimize?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

type ResultOptions = Pick<PairOptions, "optimize" | "signal" | "progress"> & Pick<LoadOptions, "threads">;

export const minSamples = 4;
const defaultSamples = 32;
/** Maximum multiply-accumulates of one run, which limit memory, of all runs of a model, and of a run on one thread, whose session serves the timing. */
const [maxWorkPerRun, maxTotalWork, maxWorkOfThread] = [1e10, 1e11, 1e8];
/** Maximum bytes of one computed value. A model that computes a larger one is not run on random inputs, because it could exhaust the memory. */
const maxValueBytes = 2 ** 31;
/** Cost per element in multiply-accumulates: writing computed values, drawing inputs, reading stored values (the largest cost in large models). */
const [workPerWrite, workPerDraw, workPerRead] = [20, 5000, 40];
/** Minimum side of an image after halving. Sides are halved while a sample exceeds the work of a run, if the network allows it. */
const minSide = 64;
const growingLengths = lengthsOf([1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 224, 256, 512, 576]);

/**
 * Runs both models. Returns a Miss if they cannot be compared.
 * @throws ResultFails if the original runs and the result does not; PithError E_ENGINE_MISSING, E_STOPPED on the signal.
 */
export async function pairedRuns(
  engine: Engine,
  original: Model,
  result: Model,
  options: PairOptions,
): Promise<PairedRuns | Miss> {
  options.progress?.(0, 2 * minSamples);
  const inputs = randomInputs(original);
  const smaller = withSmallerSides({ original, result, inputs });
  if (smaller !== undefined) {
    // A failure on smaller images does not count: the model may need its full size.
    const runs = await runBoth(engine, smaller, options).catch((error: unknown) => {
      if (error instanceof ResultFails) return new Miss(error.message);
      throw error;
    });
    if (!(runs instanceof Miss)) return runs;
  }
  return runBoth(engine, { original, result, inputs }, options);
}

/** Returns the samples, or random inputs without data, and both models as they ran on them. Returns a Miss like `pairedRuns`. */
export async function inputsFor(
  engine: Engine,
  original: Model,
  result: Model,
  data: Dataset | undefined,
  options: Omit<PairOptions, "sizes">,
) {
  if (data !== undefined) return { original, result, samples: data, perRun: 1 };
  const runs = await pairedRuns(engine, original, result, { sizes: "one", ...options });
  if (runs instanceof Miss) return runs;
  if (runs.otherDraws !== undefined) return new Miss(runs.otherDraws);
  const samples = completeRuns(runs.pairs).map(({ feeds }) => feeds);
  return { original: runs.original, result: runs.result, samples, perRun: runs.pairs[0]?.samples ?? 1 };
}

/** Two models, and random inputs of the original. */
interface ModelPair {
  readonly original: Model;
  readonly result: Model;
  readonly inputs: RandomInputs;
}

async function runBoth(
  engine: Engine,
  pair: ModelPair,
  options: PairOptions,
  unknown: readonly UnknownOperator[] = [],
): Promise<PairedRuns | Miss> {
  const { original, result } = pair;
  const models = unknown.length === 0 ? ([original, result] as const) : withoutOperators(original, result, unknown);
  if (models === undefined) {
    const operators = unknown.map(operatorName).join(", ");
    throw new PithError("E_ENGINE", `This runtime has no ${operators}, and without it there is nothing to compare.`);
  }
  const [first, second] = models;
  const inputs = first === original ? pair.inputs : randomInputs(first);
  const { undrawable } = inputs;
  if (undrawable !== undefined && options.set?.[undrawable] === undefined)
    return new Miss(`no random numbers can be drawn for input "${undrawable}"`);
  const [likeliest] = candidates(first, inputs, options);
  const threads = likeliest !== undefined && likeliest.work < maxWorkOfThread ? 1 : undefined;
  const load = { optimize: options.optimize ?? true, threads, spinning: false, lean: hasLargeWeights(first) };
  let session: Session;
  try {
    session = await engine.load(withFixedDraws(first), load);
  } catch (error) {
    const engineError = asPithError(error);
    const operator = findUnknownOperator(engineError);
    if (operator !== undefined && !unknown.some(({ domain, op }) => domain === operator.domain && op === operator.op))
      return runBoth(engine, pair, options, [...unknown, operator]);
    if (engineError.code === "E_ENGINE_MISSING") throw error;
    return new Miss(`the original does not run: ${stripPeriod(engineError.message)}`);
  }
  let drawn: Awaited<ReturnType<typeof runsOf>>;
  try {
    drawn = await runsOf(session, first, second, inputs, options);
    if (options.sizes === "one" && !(drawn instanceof Miss))
      drawn = { ...drawn, runs: await withCachedSteps(session, first, second, drawn.runs) };
  } finally {
    await session.release();
  }
  if (drawn instanceof Miss) return drawn;
  const paired = await pairWithResult(engine, first, second, drawn.runs, { ...options, threads });
  return { ...paired, without: unknown.map(operatorName), leftOut: drawn.leftOut };
}

/** Returns the runs with further ones for the cache of a decoder. */
async function withCachedSteps(
  session: Session,
  model: Model,
  other: Model,
  runs: readonly ModelRun[],
): Promise<readonly ModelRun[]> {
  const all: ModelRun[] = [];
  for (const run of runs) {
    const steps = await runCachedSteps(model, run.feeds, namesInBoth(model, other), (...step) => session.run(...step));
    all.push(...(steps.length === 0 ? [run] : steps.map((step) => ({ ...step, samples: run.samples }))));
  }
  return all;
}

/** Returns the runs that have all inputs: without those whose cache is an output of the run before. */
export const completeRuns = <R extends ModelRun>(runs: readonly R[]): readonly R[] =>
  runs.filter(({ cache }) => cache?.isFirst !== false);

/** Runs the result on the inputs of the original's runs. @throws ResultFails if it does not load or run. */
export async function pairWithResult(
  engine: Engine,
  original: Model,
  result: Model,
  runs: readonly ModelRun[],
  options: ResultOptions,
): Promise<PairedRuns> {
  const pairs = await runResult(engine, result, runs, options);
  const otherDraws = await explainOtherDraws(engine, original, result, runs, options);
  const base = { without: [], original, result, otherDraws };
  if (otherDraws !== undefined || !hasRandomNodes(original)) return { ...base, pairs };
  const exchanged = await runResult(engine, original, exchangeInputs(runs), options);
  return { ...base, pairs: pairs.map((pair, index) => ({ ...pair, exchanged: exchanged[index]?.got })) };
}

/** Returns the runs with the inputs of another sample at each position: of the next sample, or of the next run if each has one sample. */
function exchangeInputs(runs: readonly ModelRun[]): readonly ModelRun[] {
  return runs.map((run, index) => {
    const { feeds, samples } = run;
    if (samples <= 1) return { ...run, feeds: runs[(index + 1) % runs.length]?.feeds ?? feeds };
    const next = range(samples, 1).map((sample) => sample % samples);
    return { ...run, feeds: gatherSamples(run, next) };
  });
}

function gatherSamples({ feeds, samples }: Pick<ModelRun, "feeds" | "samples">, positions: Uint32Array): Batch {
  return mapColumns(feeds, (dense) => (dense.dims[0] === samples ? gatherRows(dense, positions) : dense));
}

function finiteSamples({ expected, samples }: ModelRun): readonly number[] {
  const outputs = Object.values(expected).filter(({ type }) => isFloat(type));
  const partOf = (dense: Dense, at: number): Dense =>
    dense.dims[0] === samples ? sliceRows(dense, at, at + 1) : dense;
  const isFiniteAt = (at: number): boolean =>
    outputs.every((dense) => toNumbers(partOf(dense, at)).every(Number.isFinite));
  return [...range(samples)].filter(isFiniteAt);
}

interface Candidate extends Pick<Guess, "shapes" | "isUsual"> {
  /** In multiply-accumulates. */
  readonly work: number;
  /** A computed value that is too large to run the model. */
  readonly largeValue: string | undefined;
}

function* candidates(
  model: Model,
  inputs: RandomInputs,
  { sizes, known, work: maxWork = maxTotalWork }: PairOptions,
): Generator<Candidate, void, undefined> {
  const costOf = costCounter(model, infer(model));
  const workOfReading = (workPerRead * storedBytes(model.graph)) / 4;
  const hasSeveralSizes = sizes === "several";
  const fits = (assignment: Assignment, batch: number): boolean =>
    batch === 1 || costOf(assignment).work <= Math.min(maxWorkPerRun, maxWork);
  // A cache is empty if the model runs without one, because no model computes random values of a cache.
  const withoutCache = likelyLengths.map(([length, side]): TrialSizes => [length, side, 0]);
  const lengths = hasSeveralSizes ? growingLengths : [...withoutCache, ...likelyLengths];
  for (const guess of guesses(model, inputs, {
    known,
    lengths,
    batches: hasSeveralSizes ? [1, 2] : [8, 4, 2, 1],
    fits,
  })) {
    const { work, largeValue } = costOf(guess.assignment(model));
    yield { ...guess, work: work + workOfReading, largeValue };
  }
}

function affordableSamplesOf(work: number, { samples = defaultSamples, work: maxWork = maxTotalWork }: PairOptions) {
  return Math.max(minSamples, Math.min(samples, Math.floor(maxWork / Math.max(1, work))));
}

const costCounter = cachePerRevision((model, inference) => {
  const inputs = randomInputs(model);
  const macs = [...cost(model, inference).perNode.values()];
  const computedValues = [...model.graph.nodes()].flatMap(({ outputs }) =>
    outputs.filter((value) => value !== undefined),
  );
  return (assignment: Assignment): Pick<Candidate, "work" | "largeValue"> => {
    const sizes = new Map<Dim, number>();
    const sizeOf = (dim: Dim): number => memoize(sizes, dim, () => inputs.size(dim, assignment));
    const countOf = (value: Value): number =>
      inference.operand(value)?.dims?.reduce<number>((product, dim) => product * sizeOf(dim), 1) ?? 0;
    const count = (values: readonly Value[]): number => values.reduce((sum, value) => sum + countOf(value), 0);
    const work =
      macs.reduce<number>((sum, dim) => sum + Math.max(0, sizeOf(dim)), 0) +
      workPerWrite * count(computedValues) +
      workPerDraw * count(model.graph.feeds);
    const bytesOf = (value: Value): number => {
      const type = value.type?.type ?? "string";
      return type === "string" ? 0 : bytesFor(type, countOf(value));
    };
    const large = computedValues.find((value) => bytesOf(value) > maxValueBytes);
    return { work, largeValue: large && `"${large.name}" takes ${bytes(bytesOf(large))}` };
  };
});

async function runsOf(
  session: Session,
  model: Model,
  other: Model,
  inputs: RandomInputs,
  options: PairOptions,
): Promise<{ readonly runs: readonly ModelRun[]; readonly leftOut: number } | Miss> {
  const { sizes, set = {}, seed, signal, progress, known } = options;
  const names = namesInBoth(model, other);
  const isBatch = hasBatchAxis(model);
  let runs: ModelRun[] = [];
  const brokenRuns: ModelRun[] = [];
  let [reason, leftOut, targetRuns] = ["the model has no input", 0, minSamples];
  const countAll = (all: readonly ModelRun[]): number =>
    all.reduce((sum, run) => sum + countSamples(Object.values(run.expected)[0], run), 0);
  const attempt = async (shapes: Shapes, draw: number): Promise<ModelRun | undefined> => {
    throwIfAborted(signal, "The comparison was stopped.");
    try {
      const feeds = { ...inputs.draw(shapes, random(seed, "random inputs", draw)), ...set };
      const samples = isBatch ? (Object.values(feeds)[0]?.dims[0] ?? 1) : 1;
      let run: ModelRun = { feeds, expected: await session.run(feeds, names), samples };
      const finite = sizes === "one" ? finiteSamples(run) : undefined;
      if (finite !== undefined && finite.length > 0 && finite.length < samples) {
        const otherFeeds = gatherSamples(
          run,
          Uint32Array.from({ length: samples }, (_, at) => finite[at % finite.length] ?? 0),
        );
        run = { feeds: otherFeeds, expected: await session.run(otherFeeds, names), samples };
      }
      leftOut += samples - (finite?.length ?? samples);
      (finite?.length === 0 && samples > 0 ? brokenRuns : runs).push(run);
      progress?.(runs.length, 2 * Math.max(targetRuns, runs.length));
      return run;
    } catch (error) {
      reason = stripPeriod(asPithError(error).message);
      return undefined;
    }
  };
  let draws = 0;
  const acceptedShapes: Shapes[] = [];
  for (const { shapes, work, largeValue, isUsual } of candidates(model, inputs, options)) {
    if (!isUsual && acceptedShapes.length > 0) break;
    if (largeValue !== undefined) {
      reason = `value ${largeValue}, and a comparison runs models with values of at most ${bytes(maxValueBytes)}`;
      continue;
    }
    const run = await attempt(shapes, draws++);
    if (run === undefined) continue;
    acceptedShapes.push(shapes);
    const samples = countAll([run]);
    if (sizes === "one") targetRuns = Math.ceil(affordableSamplesOf(work / samples, options) / samples);
    if (sizes === "one" || runs.length === targetRuns) break;
  }
  if (acceptedShapes.length === 0) {
    const areFree = model.graph.feeds.some(({ type }) => type?.dims?.some(isSymbolic));
    const advice = known !== undefined && areFree ? "; `dim` sets the sizes of free dimensions" : "";
    return new Miss(`the original ran on none of the random inputs: ${reason}${advice}`);
  }
  // Some draws may be rejected, because a graph does not state all requirements of its inputs.
  for (let tries = 0; runs.length < targetRuns && tries < 2 * targetRuns; tries++) {
    if (runs.length === 0 && brokenRuns.length >= targetRuns) break;
    await attempt(acceptedShapes[tries % acceptedShapes.length] ?? new Map(), draws++);
  }
  // If too few samples are finite, the values that are not finite are compared by themselves.
  if (countAll(runs) < minSamples && runs.length < targetRuns) [runs, leftOut] = [[...runs, ...brokenRuns], 0];
  return countAll(runs) >= minSamples || runs.length >= targetRuns
    ? { runs, leftOut }
    : new Miss(`the original ran on ${runs.length} of ${draws} random inputs, too few for a comparison: ${reason}`);
}

export function namesInBoth(model: Model, other: Model): readonly string[] {
  const names = new Set(other.graph.outputs.map(({ name }) => name));
  return model.graph.outputs.flatMap(({ name, foreign }) =>
    names.has(name) && foreign?.type === undefined && foreign?.container === undefined ? [name] : [],
  );
}

/** Runs a model on the inputs of the runs. @throws ResultFails if it does not load, or does not run. */
export async function runResult(
  engine: Engine,
  model: Model,
  runs: readonly ModelRun[],
  { optimize = true, threads, signal, progress }: ResultOptions = {},
): Promise<readonly Pair[]> {
  const load = { optimize, threads, spinning: false };
  const session = await engine.load(withFixedDraws(model), load).catch(async (error: unknown) => {
    throw error instanceof PithError ? await explainFailedLoad(engine, model, error) : error;
  });
  try {
    const pairs: Pair[] = [];
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
        throw new ResultFails(engineError, `The original runs, the result does not: ${engineError.message}`, false);
      });
      caches = nextCaches(states, caches, outputs, cache?.isFirst === true);
      pairs.push({ ...run, got: selectColumns(outputs, names) });
      progress?.(runs.length + pairs.length, 2 * runs.length);
    }
    return pairs;
  } finally {
    await session.release();
  }
}

async function explainOtherDraws(
  engine: Engine,
  original: Model,
  result: Model,
  runs: readonly ModelRun[],
  { optimize = true, signal }: ResultOptions,
): Promise<string | undefined> {
  if (!haveSameDraws(original, result)) return "the model draws random numbers, and the result draws other ones";
  if (!hasRandomNodes(original)) return undefined;
  const secondRun = await runResult(engine, original, runs, { optimize, signal });
  const differs = ({ expected, got }: Pair): boolean =>
    Object.entries(expected).some(([name, dense]) => largestDifference(dense, got[name]) > 0);
  return secondRun.some(differs) ? "the model draws random numbers, and other ones in each run" : undefined;
}

export function countSamples(output: Dense | undefined, { samples }: Pick<ModelRun, "samples">): number {
  return samples > 0 && output?.dims[0] === samples ? samples : 1;
}

/** Returns copies for smaller images; undefined if a sample costs less than the maximum, or no smaller image is possible. */
function withSmallerSides(pair: ModelPair): ModelPair | undefined {
  let smaller = pair;
  while (costCounter(smaller.original, infer(smaller.original))(() => 1).work > maxWorkPerRun) {
    const [original, result] = [smaller.original, smaller.result].map(halveSides);
    if (original === undefined || result === undefined) break;
    smaller = { original, result, inputs: randomInputs(original) };
  }
  return smaller === pair ? undefined : smaller;
}

/** Returns a copy of a model for images of half the size; undefined if a side would be fractional or too small. */
function halveSides(model: Model): Model | undefined {
  const small = model.clone();
  const sides = small.graph.feeds.map(({ type }) => {
    const dims = type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 ? 1 : 0)) ?? [];
    return imageSides(dims)?.sides ?? [];
  });
  if (sides.flat().length === 0) return undefined;
  for (const [index, feed] of small.graph.feeds.entries()) {
    const dims = feed.type?.dims?.map((dim, axis) =>
      sides[index]?.includes(axis) === true && typeof dim === "number" ? dim / 2 : dim,
    );
    if (sides[index]?.some((axis) => !Number.isInteger(dims?.[axis]) || Number(dims?.[axis]) < minSide))
      return undefined;
    if (feed.type !== undefined) feed.type = { ...feed.type, dims };
  }
  // Stated shapes of other values apply to the original size only.
  for (const value of small.graph.values()) {
    if (value.producer === undefined || value.type === undefined) continue;
    value.type = small.graph.outputs.includes(value) ? { type: value.type.type, dims: undefined } : undefined;
  }
  return small;
}
