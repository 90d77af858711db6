/**
 * Which preprocessing a model was trained with, found by trying: a model scores far better on images prepared as it knows them.
 * The guess is stated, never silent; a best score no better than chance says that none of them was right.
 */
import { type Geometry, geometryText } from "../data/geometry.ts";
import {
  geometryUsed,
  type ImageInput,
  imageChannels,
  imageGeometries,
  preprocess,
  withStoredImages,
} from "../data/preprocess.ts";
import { candidates, contrastOf, type Preprocessing } from "../data/presets.ts";
import { samplesIn } from "../data/rows.ts";
import { collect, draw, take } from "../data/select.ts";
import type { Dataset, IndexedDataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import { type EvaluateOptions, evaluateAll } from "./evaluate.ts";
import { mcnemarExact, pairedMeans } from "./interval.ts";
import { accuracy, crossEntropy } from "./metrics.ts";
import { logScores, mainOutput, mainOutputName, scoresFor } from "./output.ts";
import { commonestShare } from "./predictions.ts";
import { mean } from "./regression.ts";
import type { Estimate, Metric } from "./types.ts";

/**
 * Samples of each round (successive halving): what a round shows to be worse is not tried in the next, nor is the worse half of all. Where a
 * round that is enough leaves the best at chance, no more samples help. So nine ways take at most 9 · 32 + 5 · 64 + 3 · 256 + 2 · 1,024 runs
 * of a sample, and 1,376 where none is right, whatever the data.
 */
const rounds = [32, 64, 256, 1024] as const;
const enough = 256;
const mostSamples = 1024;
/** Losses have long tails: the normal interval of fewer is too narrow. */
const fewestLosses = 32;
/** The guess belongs to model and data, not to a run: always the same draw. */
export const drawSeed = 0;

export interface PreprocessingGuess {
  readonly chosen: Preprocessing;
  /** Every preprocessing tried, best first. */
  readonly scores: readonly PreprocessingScore[];
  /** Others that the samples do not tell from the chosen one: state the preprocessing if you know it. */
  readonly indistinct: readonly Preprocessing[];
  /** The share that always giving the commonest label would get right: a score like it is none. */
  readonly chance: number;
  /** Whether the best score is told from chance: otherwise the preprocessing, the labels or the model are wrong. */
  readonly trusted: boolean;
}

export interface PreprocessingScore {
  readonly preprocessing: Preprocessing;
  readonly accuracy: Estimate;
  /** Cross-entropy in nats, of scores multiplied by what makes it least: so that it does not prefer inputs in a wide range. */
  readonly loss: number;
}

/**
 * Tries the usual preprocessings on 32 samples drawn at random, then on 64, 256 and 1,024 those that are left: not shown to be worse than the best
 * (right answers by McNemar's test, losses by their paired difference), and among the better half. Takes the one with which the model is
 * right most often; of those that right answers do not tell apart, the one with the lowest loss; of those that 256 samples do not tell apart at all,
 * the one with the narrowest range. It ends as soon as one is left and told from chance, and after 256 samples if none is. Images in files are tried
 * cut from the middle and whole, too.
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
  const sample = await collect(draw(dataset, mostSamples, drawSeed));
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
  const [usual, ...others] = imageGeometries(batch, input);
  const first = tried ?? candidates(channels).map((how) => cut(how, usual));
  // The other ways to cut are tried with the values that fit best, once those are known.
  const cuts = tried === undefined ? others : [];
  const total = mostRuns(first.length + cuts.length, sample.count);
  let done = 0;
  const score = async (how: Preprocessing, samples: Dataset): Promise<Trial> => {
    const metrics = [accuracy(), scaledLosses()];
    const [right, loss] = await evaluateAll(engine, model, preprocess(samples, input, how), metrics, {
      ...rest,
      progress: (ran) => progress?.(done + ran, total),
    });
    if (right === undefined || loss === undefined) throw new PithError("E_OPTION", "There is no metric to measure.");
    done += right.rows.length;
    return { preprocessing: how, accuracy: right.estimate, right: right.rows, ...leastLosses(loss.rows) };
  };
  /** Scores of all on the same samples, whose images are read once for each geometry. */
  const scoreAll = async (all: readonly Preprocessing[], samples: IndexedDataset): Promise<Trial[]> => {
    const trials: Trial[] = [];
    let stored: { readonly geometry: string; readonly samples: Dataset } | undefined;
    for (const how of all) {
      const geometry = geometryUsed(batch, input, how);
      if (stored?.geometry !== geometry) {
        stored = { geometry, samples: await collect(withStoredImages(samples, input, how)) };
      }
      const { resize: _, crop: __, ...values } = how;
      const found = await score(geometry === "" ? how : values, stored.samples);
      trials.push({ ...found, preprocessing: how });
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
    let found = (await scoreAll(open, samples)).sort(order);
    const [leader] = found;
    if (size === rounds[0] && leader !== undefined) {
      const ways = cuts.map((geometry) => cut(leader.preprocessing, geometry));
      found = [...found, ...(await scoreAll(ways, samples))].sort(order);
    }
    for (const trial of found) latest.set(trial.preprocessing, trial);
    const left = contenders(found);
    [chosen] = left;
    if (chosen === undefined || sample.count <= size) break;
    if (isTrusted(chosen) ? left.length === 1 : size >= enough) break;
    open = left.slice(0, better(found.length)).map((trial) => trial.preprocessing);
  }
  if (chosen === undefined) throw new PithError("E_OPTION", "There is no preprocessing to try.");
  const best = safest(chosen, [...latest.values()]);
  const beaten = [...latest.values()].filter((trial) => trial !== best).sort(order);
  return {
    chosen: best.preprocessing,
    scores: [best, ...beaten].map(({ preprocessing, accuracy: share, loss }) => ({
      preprocessing,
      accuracy: share,
      loss,
    })),
    indistinct: beaten.filter((trial) => !isWorse(trial, best)).map((trial) => trial.preprocessing),
    chance: chanceOf(best.accuracy.count),
    trusted: isTrusted(best),
  };
}

/** The best of a round, and those that it does not show to be worse, by their losses. */
function contenders(found: readonly Trial[]): readonly Trial[] {
  // Where right answers do not decide, the loss does: it weighs how sure each answer is, so it sees more in the same samples.
  const alike = found.filter((trial) => !isFewer(trial, found[0])).sort((a, b) => lossOf(a) - lossOf(b));
  const [best] = alike;
  return alike.filter((trial) => best !== undefined && !isWorse(trial, best));
}

/**
 * Which scale is meant makes a difference where activations are rounded to codes: ranges of inputs 255 times too wide leave one code of 256 (a digit classifier falls from 98.9 % to 9.8 %), those 255 times too narrow
 * saturate (98.0 %).
 */
function safest(best: Trial, trials: readonly Trial[]): Trial {
  const { count } = best.accuracy;
  if (count < enough) return best;
  const tied = trials.filter((trial) => trial.accuracy.count === count && !isWorse(trial, best));
  const narrowest = Math.min(...tied.map(({ preprocessing }) => contrastOf(preprocessing)));
  const isNarrow = ({ preprocessing }: Trial): boolean => contrastOf(preprocessing) <= alikeRange * narrowest;
  return isNarrow(best) ? best : (tied.filter(isNarrow).sort(order)[0] ?? best);
}

/** Ranges that differ by less lose next to nothing by being taken for each other. */
export const alikeRange = 2;

function mostRuns(ways: number, count: number): number {
  return rounds.reduce((sum, size, round) => {
    const before = rounds[round - 1];
    if (before !== undefined && count <= before) return sum;
    const tried = rounds.slice(0, round).reduce(better, ways);
    return sum + tried * Math.min(size, count);
  }, 0);
}

/** The better half of those tried; two are tried to the end. */
function better(tried: number): number {
  return Math.max(Math.min(tried, 2), Math.ceil(tried / 2));
}

/** The same values of images that are resized and cut in some way; the name says it. */
export function cut(how: Preprocessing, geometry: Geometry | undefined): Preprocessing {
  if (geometry === undefined) return how;
  const { resize: _, crop: __, filter: ___, ...values } = how;
  const [name = how.name] = how.name.split(" ");
  return { ...values, ...geometry, name: `${name} ${geometryText(geometry)}` };
}

/**
 * A network without biases to speak of answers alike whatever the scale of its inputs, and is the surer the wider their range: its loss says nothing of
 * the scale that it was trained with. So scores are multiplied by each of these, and the one with the least loss counts (Guo et al. 2017,
 * https://arxiv.org/abs/1706.04599).
 */
const factors = Array.from({ length: 22 }, (_, at) => 2 ** (at - 9));
/** Factors are tried in steps of 2: smaller differences may be theirs. */
const notableLoss = 0.1;

/** Losses of each sample, one for each factor. */
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
      const { values } = logScores(scoresFor(mainOutput(outputs), samples, labels));
      const rows = new Float64Array(samples * factors.length);
      for (const [at, factor] of factors.entries()) {
        const scaled = { type: "float64", dims, data: values.map((value) => factor * value) } as const;
        const losses = nats.rows({ [name]: scaled }, batch);
        for (const [sample, loss] of losses.entries()) rows[sample * factors.length + at] = loss;
      }
      return rows;
    },
  };
}

/** Those of the factor with the least of all; with none that is a number, infinity. */
function leastLosses(rows: Float64Array): Pick<Trial, "loss" | "losses"> {
  const columns = factors.map((_, at) => rows.filter((__, place) => place % factors.length === at));
  let least = { loss: Number.POSITIVE_INFINITY, losses: columns[0] ?? new Float64Array() };
  for (const losses of columns) {
    const loss = mean(losses);
    if (loss < least.loss) least = { loss, losses };
  }
  return least;
}

interface Trial extends PreprocessingScore {
  /** 1 where the model was right, in the order of the samples. */
  readonly right: Float64Array;
  readonly losses: Float64Array;
}

/** Best first; a stable sort keeps the likelier one first where all is equal. */
function order(a: Trial, b: Trial): number {
  return b.accuracy.value - a.accuracy.value || lossOf(a) - lossOf(b);
}

function lossOf({ loss }: Trial): number {
  return Number.isFinite(loss) ? loss : Number.MAX_VALUE;
}

/** Whether the samples that both were tried on show one to be worse than the best: by right answers, or by losses that right answers do not contradict. */
function isWorse(trial: Trial, best: Trial): boolean {
  if (isFewer(trial, best)) return true;
  const count = Math.min(trial.losses.length, best.losses.length);
  if (count < fewestLosses) return false;
  const extra = pairedMeans(best.losses.slice(0, count), trial.losses.slice(0, count));
  return extra.low > 0 && extra.value > notableLoss * lossOf(best) && !isFewer(best, trial);
}

/** Whether the samples that both were tried on show that one is right less often than the other (McNemar, 5 %). */
function isFewer(trial: Trial, best: Trial | undefined): boolean {
  if (best === undefined || trial === best) return false;
  let onlyBest = 0;
  let onlyThis = 0;
  for (let sample = 0; sample < Math.min(trial.right.length, best.right.length); sample++) {
    const [own = 0, other = 0] = [trial.right[sample], best.right[sample]];
    if (own < other) onlyBest++;
    else if (own > other) onlyThis++;
  }
  return onlyThis < onlyBest && mcnemarExact(onlyBest, onlyThis) <= 0.05;
}

/** The input that takes the images: the only one, or the only one in their shape. */
export function imageInput(model: Model): ImageInput {
  const { feeds } = model.graph;
  const shaped = feeds.filter(({ type }) => type?.dims?.length === 4);
  const [input, ...more] = feeds.length === 1 ? feeds : shaped;
  if (input !== undefined && more.length === 0) return input;
  const names = feeds.map((value) => value.name).join(", ");
  throw new PithError("E_DATA", `The model has ${feeds.length} inputs (${names}): name the one that takes the images.`);
}
