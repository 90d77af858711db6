/** Finds the preprocessing that a model was trained with by trying the common ones: accuracy is far higher with the right one. */

import type { Engine } from "../../core/engine/engine.ts";
import { PithError } from "../../core/errors.ts";
import type { Estimate } from "../../core/estimate.ts";
import type { Model } from "../../core/graph/model.ts";
import { mcnemarExact, pairedMeans } from "../../core/math/interval.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { samplesIn } from "../../data/batches/rows.ts";
import { collect, draw, take } from "../../data/batches/select.ts";
import type { Dataset, IndexedDataset } from "../../data/batches/types.ts";
import { type Geometry, geometryText } from "../../data/images/geometry.ts";
import {
  type ImageInput,
  imageChannels,
  imageGeometries,
  preprocess,
  usedGeometryText,
  withStoredImages,
} from "../../data/images/preprocess.ts";
import { candidates, contrastOf, type Preprocessing } from "../../data/images/presets.ts";
import { type EvaluateOptions, type Evaluation, evaluateAll } from "../../runtime/metrics/evaluate.ts";
import { accuracy, crossEntropy } from "../../runtime/metrics/metrics.ts";
import { logScores, mainOutput, mainOutputName, readScores } from "../../runtime/metrics/output.ts";
import { commonestShare } from "../../runtime/metrics/predictions.ts";
import { mean } from "../../runtime/metrics/regression.ts";
import type { Metric } from "../../runtime/metrics/types.ts";

/** Samples per round of successive halving. */
const rounds = [32, 64, 256, 1024] as const;
const maxSamples = 1024;
/** The search stops after this number of samples if the best candidate is still at chance level. */
const samplesForChance = 256;
/** Losses have long tails: with fewer samples the normal interval is too narrow. */
const minLosses = 32;
/** A constant, because the guess depends on model and data only. */
export const drawSeed = 0;

export interface PreprocessingGuess {
  readonly chosen: Preprocessing;
  /** Every preprocessing that was tried, best first. */
  readonly scores: readonly PreprocessingScore[];
  /** Preprocessings that the samples cannot distinguish from the chosen one. */
  readonly indistinct: readonly Preprocessing[];
  /** Accuracy of always predicting the most common label. */
  readonly chance: number;
  /** Whether the best score is above chance; if not, the preprocessing, the labels or the model are wrong. */
  readonly trusted: boolean;
}

export interface PreprocessingScore {
  readonly preprocessing: Preprocessing;
  readonly accuracy: Estimate;
  /** Cross-entropy in nats at the best temperature, so that it does not favor inputs with a wide range. */
  readonly loss: number;
  /** Number of wrong samples whose outputs have no loss, because they contain NaN or infinity. */
  readonly broken: number;
}

/**
 * Tries the common preprocessings on 32 random samples, then the better half of them on 64, 256 and 1,024.
 *
 * A round drops candidates that are significantly worse (McNemar's test for predictions, paired differences for losses). The one with the highest
 * accuracy is chosen, then lowest loss, then narrowest range. Image files are tried both center-cropped and whole.
 * @throws PithError E_DATA if the data has no images or no labels, or does not fit the model.
 * @example
 * const { chosen, scores, trusted } = await guessPreprocessing(engine, model, dataset);
 */
export async function guessPreprocessing(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  options: EvaluateOptions & { readonly tried?: readonly Preprocessing[] } = {},
): Promise<PreprocessingGuess> {
  const { tried, progress, ...rest } = options;
  const sample = await collect(draw(dataset, maxSamples, drawSeed));
  const batch = await sample.gather(Uint32Array.of(0));
  const input = imageInput(model);
  const channels = imageChannels(batch, input);
  if (channels === undefined) {
    throw new PithError("E_DATA", `${dataset.name} has no stored images (uint8): there is no preprocessing to guess.`);
  }
  if (batch.label === undefined) {
    throw new PithError("E_DATA", `${dataset.name} has no labels: the preprocessing cannot be guessed.`, {
      hint: "State the preprocessing.",
    });
  }
  const [defaultGeometry, ...geometries] = imageGeometries(batch, input);
  const first = tried ?? candidates(channels).map((how) => withGeometry(how, defaultGeometry));
  const variants = tried === undefined ? geometries : [];
  const total = maxRuns(first.length + variants.length, sample.count);
  let done = 0;
  const runRound = async (all: readonly Preprocessing[], samples: IndexedDataset): Promise<readonly Trial[]> => {
    const trials: Trial[] = [];
    const evaluated = evaluateEach(engine, model, samples, batch, all, [accuracy(), scaledLosses()], {
      ...rest,
      progress: (ran) => progress?.(done + ran, total),
    });
    for await (const { preprocessing, evaluations } of evaluated) {
      const [right, loss] = evaluations;
      if (right === undefined || loss === undefined) throw new PithError("E_OPTION", "There is no metric to measure.");
      done += right.rows.length;
      trials.push({ preprocessing, accuracy: right.estimate, right: right.rows, ...bestLosses(loss.rows) });
    }
    return trials;
  };
  const all = await sample.gather(Uint32Array.from({ length: sample.count }, (_, index) => index));
  const labels = toFloat64(all.label ?? batch.label);
  const chanceOf = (samples: number): number => commonestShare(labels.subarray(0, samples)) ?? 0;
  const isTrusted = ({ accuracy: { low, count } }: Trial): boolean => low > chanceOf(count);
  const latest = new Map<Preprocessing, Trial>();
  let chosen: Trial | undefined;
  let open = first;
  for (const size of rounds) {
    const samples = take(sample, size);
    let trials = (await runRound(open, samples)).toSorted(order);
    const [leader] = trials;
    if (size === rounds[0] && leader !== undefined) {
      const ofLeader = variants.map((geometry) => withGeometry(leader.preprocessing, geometry));
      trials = [...trials, ...(await runRound(ofLeader, samples))].sort(order);
    }
    for (const trial of trials) latest.set(trial.preprocessing, trial);
    const remaining = dropWorse(trials);
    [chosen] = remaining;
    if (chosen === undefined || sample.count <= size) break;
    if (isTrusted(chosen) ? remaining.length === 1 : size >= samplesForChance) break;
    open = remaining.slice(0, halve(trials.length)).map((trial) => trial.preprocessing);
  }
  if (chosen === undefined) throw new PithError("E_OPTION", "There is no preprocessing to try.");
  const best = preferNarrow(chosen, [...latest.values()]);
  const beaten = [...latest.values()].filter((trial) => trial !== best).sort(order);
  return {
    chosen: best.preprocessing,
    scores: [best, ...beaten].map(({ right, losses, ...score }) => ({
      ...score,
      broken: losses.filter((loss, position) => Number.isNaN(loss) && right[position] === 0).length,
    })),
    indistinct: beaten.filter((trial) => !isWorse(trial, best)).map((trial) => trial.preprocessing),
    chance: chanceOf(best.accuracy.count),
    trusted: isTrusted(best),
  };
}

/** Evaluates the model with each preprocessing. Consecutive ones of the same geometry share the decoded images. @param batch samples that show the form. */
export async function* evaluateEach(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  batch: Batch,
  all: readonly Preprocessing[],
  metrics: readonly Metric[],
  options: EvaluateOptions,
): AsyncGenerator<{ readonly preprocessing: Preprocessing; readonly evaluations: readonly Evaluation[] }> {
  const input = imageInput(model);
  let stored: { readonly geometry: string; readonly samples: Dataset } | undefined;
  for (const preprocessing of all) {
    const geometry = usedGeometryText(batch, input, preprocessing);
    if (stored?.geometry !== geometry)
      stored = { geometry, samples: await collect(withStoredImages(dataset, input, preprocessing)) };
    const { resize: _, crop: __, ...values } = preprocessing;
    const ready = preprocess(stored.samples, input, geometry === "" ? preprocessing : values);
    yield { preprocessing, evaluations: await evaluateAll(engine, model, ready, metrics, options) };
  }
}

/** Returns the trials that are not significantly worse than the best, by loss. @param trials by accuracy. */
function dropWorse(trials: readonly Trial[]): readonly Trial[] {
  // If accuracies tie, losses decide: they include the confidence, so the same samples show more.
  const tied = trials.filter((trial) => !isLessAccurate(trial, trials[0])).sort((a, b) => lossOf(a) - lossOf(b));
  const [best] = tied;
  return tied.filter((trial) => best !== undefined && !isWorse(trial, best));
}

/** Prefers the narrowest of equally good ranges. In int8, ranges 255 times too wide lose almost all accuracy (98.9 % → 9.8 %), too narrow ones little (98.0 %). */
function preferNarrow(best: Trial, trials: readonly Trial[]): Trial {
  const { count } = best.accuracy;
  if (count < samplesForChance) return best;
  const tied = trials.filter((trial) => trial.accuracy.count === count && !isWorse(trial, best));
  const narrowest = Math.min(...tied.map(({ preprocessing }) => contrastOf(preprocessing)));
  const isNarrow = ({ preprocessing }: Trial): boolean => contrastOf(preprocessing) <= similarRange * narrowest;
  return isNarrow(best) ? best : (tied.filter(isNarrow).sort(order)[0] ?? best);
}

/** Factor between two ranges below which confusing them costs almost no accuracy. */
export const similarRange = 2;

/** Returns the number of samples of all rounds if no round drops a candidate early. */
function maxRuns(candidateCount: number, count: number): number {
  return rounds.reduce((sum, size, round) => {
    const before = rounds[round - 1];
    if (before !== undefined && count <= before) return sum;
    const tried = rounds.slice(0, round).reduce(halve, candidateCount);
    return sum + tried * Math.min(size, count);
  }, 0);
}

/** Returns the number of candidates that a round keeps: half of them, at least two. */
function halve(tried: number): number {
  return Math.max(Math.min(tried, 2), Math.ceil(tried / 2));
}

export function withGeometry(how: Preprocessing, geometry: Geometry | undefined): Preprocessing {
  if (geometry === undefined) return how;
  const { resize: _, crop: __, filter: ___, ...values } = how;
  const [name = how.name] = how.name.split(" ");
  return { ...values, ...geometry, name: `${name} ${geometryText(geometry)}` };
}

/** Temperatures: without biases only the confidence depends on the input scale, not the prediction (Guo et al. 2017, arXiv 1706.04599). */
const factors = Array.from({ length: 22 }, (_, index) => 2 ** (index - 9));
/** Minimum relative difference of losses that counts: the steps of the temperature cause smaller ones. */
const minLossDifference = 0.1;

function scaledLosses(): Metric {
  const nats = crossEntropy({ from: "logits" });
  return {
    ...nats,
    columns: factors.length,
    rows(outputs, batch) {
      const name = mainOutputName(outputs);
      const samples = samplesIn(batch);
      const { dims } = mainOutput(outputs);
      const labels = batch.label === undefined ? samples : elementCount(batch.label.dims);
      const { values } = logScores(readScores(mainOutput(outputs), samples, labels));
      const rows = new Float64Array(samples * factors.length);
      for (const [column, factor] of factors.entries()) {
        const scaled = { type: "float64", dims, data: values.map((value) => factor * value) } as const;
        const losses = nats.rows({ [name]: scaled }, batch);
        for (const [sample, loss] of losses.entries()) rows[sample * factors.length + column] = loss;
      }
      return rows;
    },
  };
}

/** Returns the losses at the best temperature; infinite if none is a number. */
function bestLosses(rows: Float64Array): Pick<Trial, "loss" | "losses"> {
  const columns = factors.map((_, column) => rows.filter((__, index) => index % factors.length === column));
  let best = { loss: Number.POSITIVE_INFINITY, losses: columns[0] ?? new Float64Array() };
  for (const losses of columns) {
    const loss = mean(losses);
    if (loss < best.loss) best = { loss, losses };
  }
  return best;
}

interface Trial extends Omit<PreprocessingScore, "broken"> {
  readonly right: Float64Array;
  readonly losses: Float64Array;
}

/** Orders trials by accuracy, then loss. The sort is stable, so of equal candidates the likelier one stays first. */
function order(a: Trial, b: Trial): number {
  return b.accuracy.value - a.accuracy.value || lossOf(a) - lossOf(b);
}

function lossOf({ loss }: Trial): number {
  return Number.isFinite(loss) ? loss : Number.MAX_VALUE;
}

/** Whether the common samples show that a candidate is worse than the best: by predictions, or by losses if predictions do not contradict. */
function isWorse(trial: Trial, best: Trial): boolean {
  if (isLessAccurate(trial, best)) return true;
  const count = Math.min(trial.losses.length, best.losses.length);
  if (count < minLosses) return false;
  const extra = pairedMeans(best.losses.slice(0, count), trial.losses.slice(0, count));
  return extra.low > 0 && extra.value > minLossDifference * lossOf(best) && !isLessAccurate(best, trial);
}

/** Whether a candidate is right significantly less often on the common samples (McNemar, 5 %). */
function isLessAccurate(trial: Trial, best: Trial | undefined): boolean {
  if (best === undefined || trial === best) return false;
  let onlyBest = 0;
  let onlyThis = 0;
  for (let sample = 0; sample < Math.min(trial.right.length, best.right.length); sample++) {
    const [inTrial = 0, inBest = 0] = [trial.right[sample], best.right[sample]];
    if (inTrial < inBest) onlyBest++;
    else if (inTrial > inBest) onlyThis++;
  }
  return onlyThis < onlyBest && mcnemarExact(onlyBest, onlyThis) <= 0.05;
}

/** Returns the only input, or the only one in the shape of images. */
export function imageInput(model: Model): ImageInput {
  const { feeds } = model.graph;
  const shaped = feeds.filter(({ type }) => type?.dims?.length === 4);
  const [input, ...more] = feeds.length === 1 ? feeds : shaped;
  if (input !== undefined && more.length === 0) return input;
  const names = feeds.map((value) => value.name).join(", ");
  throw new PithError("E_DATA", `The model has ${feeds.length} inputs (${names}): name the one that takes the images.`);
}
