/** Guesses the image preprocessing that a model was trained with: tries common ones on labeled samples, and chooses the most accurate one. */
import { collect, type Dataset, draw, range, rowCount, view } from "#batches";
import {
  type Batch,
  dataError,
  type Estimate,
  elementCount,
  joinArrays,
  joinList,
  type Model,
  optionError,
  toFloat64,
} from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { mcnemarExact, pairedMeans } from "../../core/math/confidence-interval.ts";
import { type Geometry, geometryText } from "../../data/images/geometry.ts";
import {
  type ImageInput,
  imageChannels,
  imageGeometries,
  preprocess,
  usedGeometryText,
  withStoredImages,
} from "../../data/images/preprocess.ts";
import { candidatePreprocessings, contrastOf, type Preprocessing } from "../../data/images/presets.ts";
import { accuracy, crossEntropy } from "../../runtime/metrics/class-metrics.ts";
import { type EvaluateOptions, type Evaluation, estimate, evaluateAll } from "../../runtime/metrics/evaluate.ts";
import { shareOfMostFrequent } from "../../runtime/metrics/lost-function.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { logScores, mainOutput, mainOutputName, readScores } from "../../runtime/metrics/output.ts";
import { mean } from "../../runtime/metrics/regression.ts";

/** Numbers of samples in the rounds of successive halving. */
const rounds = [16, 32, 64, 128, 256, 1024] as const;
const maxSamples = 1024;
/** The guess ends here if even the best candidate is still at chance level. */
const samplesForChance = 256;
/** The guess ends here if the remaining candidates have similar ranges, because int8 then loses equally little with each. */
const samplesForSimilar = 128;
/** With fewer samples, the normal interval of losses is too narrow, because losses have long tails. */
const minLosses = 32;
/** Constant, so that the guess depends only on model and data. */
const sampleSeed = 0;

export interface PreprocessingGuess {
  readonly chosen: Preprocessing;
  /** Best first. */
  readonly scores: readonly PreprocessingScore[];
  /** Preprocessings that are not significantly worse than the chosen one on these samples. */
  readonly indistinct: readonly Preprocessing[];
  /** Accuracy of always predicting the most common label. */
  readonly chance: number;
  /** Whether the chosen accuracy is significantly above chance. */
  readonly trusted: boolean;
}

export interface PreprocessingScore {
  readonly preprocessing: Preprocessing;
  readonly accuracy: Estimate;
  /** Mean cross-entropy in nats, with logits scaled by the best temperature. Otherwise a wide input range would have an advantage. */
  readonly loss: number;
  /** Wrongly classified samples without a loss, because their outputs contain NaN or infinity. */
  readonly brokenSamples: number;
}

/**
 * Tries common preprocessings on a few random samples, then each time the better half of them on more samples. Each round drops candidates that are
 * significantly worse (McNemar's test for predictions, paired differences for losses). Of equally good ones, the narrowest range is chosen.
 * @throws PithError E_DATA if the data has no images or no labels, or does not fit the model.
 */
export async function guessPreprocessing(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  options: EvaluateOptions & { readonly tried?: readonly Preprocessing[] } = {},
): Promise<PreprocessingGuess> {
  const { tried, progress, ...evaluateOptions } = options;
  const sample = await collect(draw(dataset, maxSamples, sampleSeed));
  const batch = await sample.gather(Uint32Array.of(0));
  const input = imageInput(model);
  const channels = imageChannels(batch, input);
  if (channels === undefined) {
    throw dataError(`${dataset.name} has no stored images (uint8), so its preprocessing cannot be guessed.`);
  }
  if (batch.label === undefined) {
    throw dataError(`${dataset.name} has no labels: the preprocessing cannot be guessed.`, {
      hint: "State the preprocessing.",
    });
  }
  const [defaultGeometry, ...geometries] = imageGeometries(batch, input);
  const firstCandidates =
    tried ?? candidatePreprocessings(channels).map((transform) => replaceGeometry(transform, defaultGeometry));
  const otherGeometries = tried === undefined ? geometries : [];
  const total = maxRuns(firstCandidates.length + otherGeometries.length, sample.count);
  let runsDone = 0;
  const latestTrials = new Map<Preprocessing, Trial>();
  const runRound = async (preprocessings: readonly Preprocessing[], size: number): Promise<readonly Trial[]> => {
    const trials: Trial[] = [];
    // A round continues after the samples of the previous round, whose rows are known.
    const earlierTrials = preprocessings.map((preprocessing) => latestTrials.get(preprocessing));
    const start = earlierTrials[0]?.right.length ?? 0;
    const samples = view(sample, sample.name, range(Math.min(size, sample.count) - start, start));
    const evaluationStream = evaluateEach(engine, model, samples, batch, preprocessings, [accuracy(), scaledLoss()], {
      ...evaluateOptions,
      remembered: model,
      progress: (ran) => progress?.(runsDone + ran, total),
    });
    for await (const { preprocessing, evaluations } of evaluationStream) {
      const before = earlierTrials[trials.length];
      const [right, lossRows] = [before?.right, before?.lossRows].map((rows = new Float64Array(), metric) =>
        joinArrays(Float64Array, [rows, evaluations[metric]?.rows ?? new Float64Array()]),
      ) as [Float64Array, Float64Array];
      runsDone += right.length - start;
      trials.push({ preprocessing, accuracy: estimate(accuracy(), right), right, lossRows, ...bestLosses(lossRows) });
    }
    return trials;
  };
  const allSamples = await sample.gather(Uint32Array.from({ length: sample.count }, (_, index) => index));
  const labels = toFloat64(allSamples.label ?? batch.label);
  const chanceOf = (samples: number): number => shareOfMostFrequent(labels.subarray(0, samples)) ?? 0;
  const isTrusted = ({ accuracy: { low, count } }: Trial): boolean => low > chanceOf(count);
  let chosenTrial: Trial | undefined;
  let remainingTrials = firstCandidates;
  for (const size of rounds) {
    let trials = (await runRound(remainingTrials, size)).toSorted(compareTrials);
    const [leader] = trials;
    if (size === rounds[0] && leader !== undefined) {
      const leaderVariants = otherGeometries.map((geometry) => replaceGeometry(leader.preprocessing, geometry));
      trials = [...trials, ...(await runRound(leaderVariants, size))].sort(compareTrials);
    }
    for (const trial of trials) latestTrials.set(trial.preprocessing, trial);
    const remaining = dropWorse(trials);
    [chosenTrial] = remaining;
    if (chosenTrial === undefined || sample.count <= size) break;
    const isDecided = remaining.length === 1 || (size >= samplesForSimilar && haveSimilarRanges(remaining));
    if (isTrusted(chosenTrial) ? isDecided : size >= samplesForChance) break;
    remainingTrials = remaining.slice(0, countAfter(trials.length, size)).map((trial) => trial.preprocessing);
  }
  if (chosenTrial === undefined) throw optionError("There is no preprocessing to try.");
  const best = preferNarrow(chosenTrial, [...latestTrials.values()]);
  const beaten = [...latestTrials.values()].filter((trial) => trial !== best).sort(compareTrials);
  return {
    chosen: best.preprocessing,
    scores: [best, ...beaten].map(({ right, losses, lossRows: _, ...score }) => ({
      ...score,
      brokenSamples: losses.filter((loss, position) => Number.isNaN(loss) && right[position] === 0).length,
    })),
    indistinct: beaten.filter((trial) => !isWorse(trial, best)).map((trial) => trial.preprocessing),
    chance: chanceOf(best.accuracy.count),
    trusted: isTrusted(best),
  };
}

/** Consecutive preprocessings with the same geometry share decoded images. @param batch shows how images are stored. */
async function* evaluateEach(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  batch: Batch,
  all: readonly Preprocessing[],
  metrics: readonly Metric[],
  options: Parameters<typeof evaluateAll>[4],
): AsyncGenerator<{ readonly preprocessing: Preprocessing; readonly evaluations: readonly Evaluation[] }> {
  const input = imageInput(model);
  let storedSamples: { readonly geometry: string; readonly samples: Dataset } | undefined;
  for (const preprocessing of all) {
    const geometry = usedGeometryText(batch, input, preprocessing);
    if (storedSamples?.geometry !== geometry)
      storedSamples = { geometry, samples: await collect(withStoredImages(dataset, input, preprocessing)) };
    const { resize: _, crop: __, ...values } = preprocessing;
    const preparedSamples = preprocess(storedSamples.samples, input, geometry === "" ? preprocessing : values);
    yield { preprocessing, evaluations: await evaluateAll(engine, model, preparedSamples, metrics, options) };
  }
}

/** @param trials sorted by accuracy. @returns those that are not significantly worse than the best, sorted by loss. */
function dropWorse(trials: readonly Trial[]): readonly Trial[] {
  // Losses include the confidence, so they show a difference with fewer samples.
  const tiedTrials = trials.filter((trial) => !isLessAccurate(trial, trials[0])).sort((a, b) => lossOf(a) - lossOf(b));
  const [best] = tiedTrials;
  return tiedTrials.filter((trial) => best !== undefined && !isWorse(trial, best));
}

/** In int8, a range that is 255 times too wide loses almost all accuracy (98.9 % → 9.8 %), one that is too narrow little (98.0 %). */
function preferNarrow(best: Trial, trials: readonly Trial[]): Trial {
  const { count } = best.accuracy;
  if (count < samplesForChance) return best;
  const tiedTrials = trials.filter((trial) => trial.accuracy.count === count && !isWorse(trial, best));
  const narrowest = Math.min(...tiedTrials.map(({ preprocessing }) => contrastOf(preprocessing)));
  const isNarrow = ({ preprocessing }: Trial): boolean => contrastOf(preprocessing) <= similarRange * narrowest;
  return isNarrow(best) ? best : (tiedTrials.filter(isNarrow).sort(compareTrials)[0] ?? best);
}

/** Maximum ratio of two input ranges at which a model loses almost no accuracy if it gets the wrong one. */
export const similarRange = 2;

/** A choice among these trials then hardly matters. */
function haveSimilarRanges(trials: readonly Trial[]): boolean {
  const contrasts = trials.map(({ preprocessing }) => contrastOf(preprocessing));
  return Math.max(...contrasts) <= similarRange * Math.min(...contrasts);
}

/** Returns the total number of sample runs if rounds only drop the worse half of the candidates. */
function maxRuns(candidateCount: number, count: number): number {
  return rounds.reduce((sum, size, round) => {
    const before = rounds[round - 1];
    if (before !== undefined && count <= before) return sum;
    const candidatesInRound = rounds.slice(0, round).reduce<number>(countAfter, candidateCount);
    return sum + candidatesInRound * (Math.min(size, count) - (before ?? 0));
  }, 0);
}

/** Returns the maximum number of candidates that remain after a round. */
function countAfter(count: number, size: number): number {
  return size < minLosses ? count : Math.max(Math.min(count, 2), Math.ceil(count / 2));
}

function replaceGeometry(preprocessing: Preprocessing, geometry: Geometry | undefined): Preprocessing {
  if (geometry === undefined) return preprocessing;
  const { resize: _, crop: __, filter: ___, ...values } = preprocessing;
  const [name = preprocessing.name] = preprocessing.name.split(" ");
  return { ...values, ...geometry, name: `${name} ${geometryText(geometry)}` };
}

/** Inverse temperatures: without biases, only the confidence depends on the input scale (Guo et al. 2017, arXiv 1706.04599). */
const logitFactors = Array.from({ length: 22 }, (_, index) => 2 ** (index - 9));
/** Relative. The steps between the temperatures cause smaller differences. */
const minLossDifference = 0.1;

function scaledLoss(): Metric {
  const nats = crossEntropy({ from: "logits" });
  return {
    ...nats,
    columns: logitFactors.length,
    rows(outputs, batch) {
      const name = mainOutputName(outputs);
      const samples = rowCount(batch);
      const { dims } = mainOutput(outputs);
      const labels = batch.label === undefined ? samples : elementCount(batch.label.dims);
      const { values } = logScores(readScores(mainOutput(outputs), samples, labels));
      const rows = new Float64Array(samples * logitFactors.length);
      for (const [column, factor] of logitFactors.entries()) {
        const scaledLogits = { type: "float64", dims, data: values.map((value) => factor * value) } as const;
        const losses = nats.rows({ [name]: scaledLogits }, batch);
        for (const [sample, loss] of losses.entries()) rows[sample * logitFactors.length + column] = loss;
      }
      return rows;
    },
  };
}

/** Returns the losses at the temperature with the lowest mean loss. `loss` is infinite if no mean is a number. */
function bestLosses(rows: Float64Array): Pick<Trial, "loss" | "losses"> {
  const columns = logitFactors.map((_, column) => rows.filter((__, index) => index % logitFactors.length === column));
  let best = { loss: Number.POSITIVE_INFINITY, losses: columns[0] ?? new Float64Array() };
  for (const losses of columns) {
    const loss = mean(losses);
    if (loss < best.loss) best = { loss, losses };
  }
  return best;
}

interface Trial extends Omit<PreprocessingScore, "brokenSamples"> {
  readonly right: Float64Array;
  readonly losses: Float64Array;
  /** Losses of each sample at all temperatures. */
  readonly lossRows: Float64Array;
}

/** The sort is stable, so the more common of two equal preprocessings stays first. */
function compareTrials(a: Trial, b: Trial): number {
  return b.accuracy.value - a.accuracy.value || lossOf(a) - lossOf(b);
}

function lossOf({ loss }: Trial): number {
  return Number.isFinite(loss) ? loss : Number.MAX_VALUE;
}

/** Returns whether a trial is significantly worse on common samples: fewer right predictions, or higher losses without significantly more of them. */
function isWorse(trial: Trial, best: Trial): boolean {
  if (isLessAccurate(trial, best)) return true;
  const count = Math.min(trial.losses.length, best.losses.length);
  if (count < minLosses) return false;
  const lossDifference = pairedMeans(best.losses.slice(0, count), trial.losses.slice(0, count));
  return (
    lossDifference.low > 0 && lossDifference.value > minLossDifference * lossOf(best) && !isLessAccurate(best, trial)
  );
}

/** Uses McNemar's test at 5 %. */
function isLessAccurate(trial: Trial, best: Trial | undefined): boolean {
  if (best === undefined || trial === best) return false;
  let onlyBest = 0;
  let onlyTrial = 0;
  for (let sample = 0; sample < Math.min(trial.right.length, best.right.length); sample++) {
    const [inTrial = 0, inBest = 0] = [trial.right[sample], best.right[sample]];
    if (inTrial < inBest) onlyBest++;
    else if (inTrial > inBest) onlyTrial++;
  }
  return onlyTrial < onlyBest && mcnemarExact(onlyBest, onlyTrial) <= 0.05;
}

/** Returns the model's only input, or the only one with 4 axes. @throws PithError E_DATA without such an input. */
export function imageInput(model: Model): ImageInput {
  const { feeds } = model.graph;
  const shaped = feeds.filter(({ type }) => type?.dims?.length === 4);
  const [input, ...more] = feeds.length === 1 ? feeds : shaped;
  if (input !== undefined && more.length === 0) return input;
  const names = joinList(feeds.map((value) => value.name));
  const text = `The model has ${feeds.length} inputs (${names}): expected one that takes images, got ${shaped.length}.`;
  throw dataError(text, { hint: "Check that the model, its original and the data belong together." });
}
