/** Checks whether a changed model still computes about the same function. Only large differences count: models are not trained on random inputs. */
import { withFixedSeeds } from "#analysis";
import { bytesOfBatch, type Dataset, isIndexed, testSeed } from "#batches";
import { type Batch, type Dense, type Estimate, fromNumbers, Miss, type Model, PithError, stripPeriod } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { meanInterval, moments, wilson } from "../../core/math/confidence-interval.ts";
import { perplexity } from "../../runtime/metrics/class-metrics.ts";
import { agreement, meanKl } from "../../runtime/metrics/comparison-metrics.ts";
import { runCachedSteps } from "../../runtime/paired/cached-steps.ts";
import type { ModelRun } from "../../runtime/paired/original-runs.ts";
import {
  type ComparedModels,
  namesInBoth,
  type PairedRun,
  type PairedRuns,
  pairedRuns,
  pairWithResult,
} from "../../runtime/paired/paired-runs.ts";
import { type Decoder, decoderOf, tokenRows } from "../../runtime/run/decoding.ts";
import { Feeder } from "../../runtime/run/feeding.ts";
import { ResultError } from "../../runtime/run/load-check.ts";
import { textInputs } from "../../runtime/run/realistic-inputs.ts";
import { type ObserveOptions, runOverBatches } from "../../runtime/run/run-over-samples.ts";
import { explainRunError } from "../../runtime/run/runner.ts";
import { hasLargeWeights } from "../../runtime/run/size-limits.ts";
import {
  type ComparedOutput,
  compareEachOutput,
  emptyLikeness,
  groupTokens,
  type OutputLikeness,
  type OutputOptions,
  worstFindingOf,
} from "./output-comparison.ts";
import { addSaturatingInputs } from "./saturation.ts";

/** Comparison of the output that differs most. */
export interface Likeness extends OutputLikeness {
  /** Name of the output if the model has several, or of the compared internal value, such as "map before saturation". */
  readonly output?: string;
  readonly outputs?: number;
  /** Names of outputs whose values were not compared, because they are not numeric or their dimensions depend on the values. */
  readonly uncompared?: readonly string[];
  /** Operators that the runtime does not support and that were removed from both models for the comparison. */
  readonly without?: readonly string[];
  readonly leftOut?: number;
  readonly ofData?: true;
  /** Name of the inputs, such as "text that the model generated: …". */
  readonly inputs?: string;
  readonly language?: LanguageFigures;
  /** Signal to noise of a language model's cache in decibels: that of the output that differs most. */
  readonly cache?: number;
}

export interface CompareOptions {
  readonly output?: string | undefined;
  readonly seed?: number | undefined;
  /** Maximum number of random inputs (32). */
  readonly samples?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total?: number) => void) | undefined;
}

/** Samples for comparing values (`maxSamples`), and for comparing names, types and dimensions (`formSamples`). */
const [maxSamples, formSamples] = [32, 2];

/** With fewer samples, predictions can be right or wrong by chance, so all outputs are compared. */
export const minVerdictSamples = 30;
/** Minimum share of equal elements at which two outputs of classes, indices or booleans count as similar. */
export const minEqualShare = 0.5;

const noNumericOutput = "the model has no numeric output";

/**
 * Checks whether a changed model still computes the same function, on the inputs that commands use without data. A language model runs on text that
 * the original generates. Models of texts or sound run on sentences or noise if files next to them describe their inputs. Others run on 4 to 32
 * random inputs, depending on their cost.
 * @returns a sentence with the reason if the models cannot be compared.
 * @throws PithError E_ENGINE if the original loads and the result does not, E_DATA if the original lacks `output`, E_STOPPED on the signal.
 * @example
 * const likeness = await compareFunction(createEngine(), await open("model.onnx"), await open("model.int8.onnx"));
 * if (typeof likeness === "object" && likeness.lost !== undefined) console.warn(likeness.lost);
 */
export async function compareFunction(
  engine: Engine,
  original: Model,
  result: Model,
  options: CompareOptions = {},
): Promise<Likeness | string> {
  return describeFailure(async () => {
    const { seed = 0, signal = new AbortController().signal, progress = () => {} } = options;
    const inputs = await textInputs(original, { engine, seed, signal, progress, log: () => {} });
    return (await compareOnSamples({ engine, original, result }, inputs?.test, options)) ?? noNumericOutput;
  });
}

/** Compares outputs on samples of data, or on random inputs. @returns undefined if nothing was compared; a sentence if values cannot be compared. */
export async function compareOnSamples(
  models: ComparedModels,
  dataset: Dataset | undefined,
  options: ModelsOptions = {},
): Promise<Likeness | string | undefined> {
  if (dataset !== undefined) return (await compareModels(models, dataset, options)).likeness;
  return describeFailure(async () => {
    const { likeness = noNumericOutput, saturated } = await compareModels(models, undefined, options);
    if (saturated.length === 0) return likeness;
    // If an output saturates for all inputs, the input of its last operator shows more differences.
    const { saturatedOutputs, original, other } = addSaturatingInputs(models.original, models.result, saturated);
    if (saturatedOutputs.size === 0) return likeness;
    const inner = { engine: models.engine, original, result: other };
    const comparedBefore = await compareModels(inner, undefined, { ...options, before: saturatedOutputs });
    return typeof comparedBefore.likeness === "object" ? comparedBefore.likeness : likeness;
  });
}

async function describeFailure(work: () => Promise<Likeness | string>): Promise<Likeness | string> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_ENGINE_MISSING") return stripPeriod(error.message);
    if (!(error instanceof ResultError) || error.loading) throw error;
    const { cause } = error;
    const lossSentence = `the result does not run: ${stripPeriod(cause instanceof Error ? cause.message : error.message)}`;
    return { ...emptyLikeness, lost: lossSentence };
  }
}

/** Returns a sentence about an output that is missing or has a different type or shape. @param data default: random inputs. */
export async function findLostForm(
  models: ComparedModels,
  data: Dataset | undefined,
  options: Pick<CompareOptions, "seed" | "signal"> = {},
): Promise<string | undefined> {
  return functionLossTextOf((await compareModels(models, data, { ...options, values: "none" })).likeness);
}

export function functionLossTextOf(likeness: Likeness | string | undefined): string | undefined {
  return typeof likeness === "object" ? likeness.lost : undefined;
}

type ModelsOptions = OutputOptions & CompareOptions;

async function compareModels(
  models: ComparedModels,
  data: Dataset | undefined,
  { seed, samples: comparedSamples = maxSamples, signal, progress, ...options }: ModelsOptions,
): Promise<RunsComparison> {
  const { output, values = "all" } = options;
  const hasOthers = output === undefined && models.original.graph.outputs.length > 1;
  const samples = values === "all" || (values !== "none" && hasOthers) ? comparedSamples : formSamples;
  const runs = await runPair(models, data, { samples, seed, signal, progress });
  return runs instanceof Miss ? { likeness: runs.reason, saturated: [] } : compareRuns(runs, data, options);
}

export async function runPair(
  models: ComparedModels,
  data: Dataset | undefined,
  { seed = 0, ...options }: Pick<ModelsOptions, "seed" | "signal" | "progress"> & { readonly samples: number },
): Promise<PairedRuns | Miss> {
  if (data === undefined) return pairedRuns(models, { sizes: "one", seed, ...options });
  const order = isIndexed(data) ? { shuffle: testSeed } : {};
  return runPairOnSamples(models, data, { ...order, ...options });
}

interface RunsComparison {
  readonly likeness: Likeness | string | undefined;
  /** Outputs whose differences a saturating operator (Sigmoid, Softmax) hides. */
  readonly saturated: readonly string[];
}

/** @param data as it was passed to `runPair`. */
export function compareRuns(runs: PairedRuns, data: Dataset | undefined, options: OutputOptions = {}): RunsComparison {
  const outputs = compareEachOutput(data, runs, options);
  const saturated = outputs.flatMap(({ name, isSaturated }) => (isSaturated ? [name] : []));
  const worst = summarize(outputs, outputs.length > 1 || options.before !== undefined) ?? runs.otherDraws;
  if (typeof worst !== "object") return { likeness: worst, saturated };
  const { without, leftOut = 0 } = runs;
  const isSynthetic = data?.synthetic !== undefined;
  const decoder = data === undefined || runs.otherDraws !== undefined ? undefined : decoderOf(runs.original);
  const caches = outputs.flatMap(({ isCache, likeness }) =>
    isCache === true && typeof likeness === "object" ? [likeness.signalToNoise] : [],
  );
  const hasLostForm = worst.otherForm === true;
  const language = decoder && !hasLostForm ? measureLanguage(decoder, runs.pairs) : undefined;
  const likeness = {
    ...worst,
    ...(data === undefined ? {} : { ofData: true as const }),
    ...(isSynthetic ? { inputs: data.name } : {}),
    ...(language && { language }),
    // The user's samples are judged by their metric.
    ...(language && isSynthetic && { lost: worst.lost ?? lostTokensText(language) }),
    ...(caches.length === 0 ? {} : { cache: Math.min(...caches) }),
    ...(without.length === 0 ? {} : { without }),
    ...(leftOut === 0 ? {} : { leftOut }),
  };
  return { likeness, saturated };
}

/** @param isNamed whether the finding names its output. */
function summarize(outputs: readonly ComparedOutput[], isNamed: boolean): Likeness | string | undefined {
  if (outputs.length === 0) return noNumericOutput;
  const findings = outputs.flatMap(({ likeness }) => (typeof likeness === "object" ? [likeness] : []));
  const reasons = new Map(
    outputs.flatMap(({ name, likeness }) => (typeof likeness === "string" ? [[name, likeness] as const] : [])),
  );
  const worst = worstFindingOf(outputs);
  if (worst === undefined) return [...reasons.values()].at(-1);
  const { name, likeness, isPart = false } = worst;
  const { lost, otherForm } = likeness;
  const samples = Math.max(...findings.map((finding) => finding.samples));
  if (!isNamed && !isPart) return { ...likeness, samples };
  return {
    ...likeness,
    samples,
    lost: lost === undefined || otherForm ? lost : `output "${name}": ${lost}`,
    output: name,
    outputs: outputs.filter(({ likeness: finding, isCache }) => typeof finding === "object" && isCache !== true).length,
    ...(reasons.size === 0 ? {} : { uncompared: [...reasons.keys()] }),
  };
}

/** The original's outputs are kept until the result has run. */
const maxBytes = 2 ** 28;

/** @throws ResultError if only the result fails, PithError E_DATA, E_STOPPED. */
async function runPairOnSamples(
  models: ComparedModels,
  dataset: Dataset,
  options: Pick<ObserveOptions, "samples" | "batch" | "shuffle" | "signal" | "progress">,
): Promise<PairedRuns> {
  const { engine, original, result } = models;
  const names = namesInBoth(original, result);
  if (names.length === 0) return { pairs: [], without: [], original, result, otherDraws: undefined };
  const session = await engine.load(withFixedSeeds(original), { spinning: false, lean: hasLargeWeights(original) });
  const runs: ModelRun[] = [];
  try {
    let feeder: Feeder | undefined;
    let bytes = 0;
    const run = async (feeds: Batch, outputNames: readonly string[]): Promise<Batch> =>
      session.run(feeds, outputNames).catch((error: unknown) => {
        throw explainRunError(error, original, feeds);
      });
    const size = decoderOf(original) === undefined ? {} : { batch: textsPerRun };
    await runOverBatches(dataset, { ...size, ...options }, async (rows) => {
      feeder ??= new Feeder(original, rows, dataset.name, result);
      const { size, feeding } = feeder;
      const fetchedNames = [...new Set([...names, ...feeding.states.map(({ output }) => output)])];
      for (const { feeds, samples } of feeder.runs(rows)) {
        if (bytes > maxBytes) return;
        const steps = await runCachedSteps(original, feeds, names, run);
        for (const step of steps) {
          runs.push({ ...step, samples: size ?? samples });
          bytes += bytesOfBatch(step.expected);
        }
        if (steps.length > 0) continue;
        const expected = await run(feeds, fetchedNames);
        feeder.carry(expected);
        runs.push({ feeds, expected, samples: size ?? samples });
        bytes += bytesOfBatch(expected);
      }
    });
  } finally {
    await session.release();
  }
  return pairWithResult(models, runs, { signal: options.signal });
}

/** The scores of all tokens of a text can take 10 MB. */
const textsPerRun = 4;

export interface LanguageFigures {
  /** Share of positions at which both models find the same next token most likely. */
  readonly agreement: Estimate;
  /** Mean Kullback-Leibler divergence of the probabilities of the next token, in nats. */
  readonly divergence: number;
  /** Perplexity of the result relative to the original's, on the same tokens. */
  readonly perplexityRatio: Estimate;
}

/** Returns undefined without scores of tokens, or if no sample has a token after another one. */
function measureLanguage({ tokens, logits }: Decoder, pairs: readonly PairedRun[]): LanguageFigures | undefined {
  if (
    tokens === undefined ||
    pairs.some(({ expected, actual }) => (expected[logits] ?? actual[logits])?.dims.length !== 3)
  )
    return undefined;
  const labeledPairs = pairs.map((pair, index) => ({ ...pair, label: nextTokens(tokens, pair, pairs[index + 1]) }));
  const same: number[] = [];
  const divergences: number[] = [];
  const changes: number[] = [];
  for (const { name, members } of groupTokens(labeledPairs, logits))
    for (const { expected, actual, label } of members) {
      const options = { output: name };
      same.push(...agreement(options).rows(actual, expected));
      divergences.push(...meanKl(options).rows(actual, expected));
      const [before, after] = [expected, actual].map((outputs: Batch) => perplexity(options).rows(outputs, { label }));
      for (let token = 0; token < (label.dims[0] ?? 0); token++)
        if (before?.[2 * token + 1] === 1) changes.push((after?.[2 * token] ?? 0) - (before[2 * token] ?? 0));
    }
  if (changes.length === 0) return undefined;
  const change = meanInterval(Float64Array.from(changes));
  return {
    agreement: wilson(
      same.reduce((sum, isSame) => sum + isSame, 0),
      same.length,
    ),
    divergence: moments(Float64Array.from(divergences)).mean,
    perplexityRatio: {
      ...change,
      value: Math.exp(change.value),
      low: Math.exp(change.low),
      high: Math.exp(change.high),
    },
  };
}

/** Returns a reason if significantly fewer than half of the next tokens are the original's. */
function lostTokensText({ agreement: { value, high, count } }: LanguageFigures): string | undefined {
  if (high >= 0.5) return undefined;
  return `the most likely next token is the original's at only ${Math.round(value * count)} of ${count} positions`;
}

/** Returns the next token of each position, in the order of `groupTokens`; −100 for the last one of a text. */
function nextTokens(tokens: string, { feeds }: PairedRun, next: PairedRun | undefined): Dense {
  const following = next?.cache?.isFirst === false ? tokenRows(next.feeds[tokens]) : [];
  const labels = tokenRows(feeds[tokens]).flatMap((row, sample) => [...row.slice(1), following[sample]?.[0] ?? -100]);
  return fromNumbers("int64", [labels.length], labels);
}
