/**
 * Which preprocessing a model was trained with, found by trying: a model scores far better on images prepared as it knows them.
 * The guess is stated, never silent; a best score no better than chance says that none of them was right.
 */
import { type Geometry, geometryText } from "../data/geometry.ts";
import {
  geometryUsed,
  type ImageInput,
  imageChannels,
  pictureGeometries,
  preprocess,
  storedPictures,
} from "../data/preprocess.ts";
import { candidates, type Preprocessing } from "../data/presets.ts";
import { collect, draw, take } from "../data/select.ts";
import type { Dataset, IndexedDataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { commonestShare } from "./chance.ts";
import { type EvaluateOptions, evaluateAll } from "./evaluate.ts";
import { mcnemarExact } from "./interval.ts";
import { accuracy, crossEntropy } from "./metrics.ts";
import type { Estimate } from "./types.ts";

/** Samples of each round: those that a round leaves no doubt about are not tried in the next. */
const rounds = [64, 256, 1024] as const;
const mostSamples = 1024;
/** The guess belongs to model and data, not to a run: always the same draw. */
const drawSeed = 0;

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
  readonly loss: number;
}

/**
 * Tries the usual preprocessings on 64 samples drawn at random, what these do not tell from the best on 256, and then on 1,024; takes the one
 * with which the model is right most often; of those that right answers do not tell apart (McNemar) the one with the lowest loss.
 * Pictures in files are tried cut from the middle and whole, too.
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
  const { tried, ...rest } = options;
  const sample = await collect(draw(dataset, mostSamples, drawSeed));
  const batch = await sample.gather(Uint32Array.of(0));
  const input = imageInput(model);
  const channels = imageChannels(batch, input);
  if (channels === undefined) {
    throw new PithError("E_DATA", `${dataset.name} has no stored images (uint8): there is no preprocessing to guess.`);
  }
  if (batch.label === undefined) {
    throw new PithError(
      "E_DATA",
      `${dataset.name} has no labels: which preprocessing is right cannot be found by trying.`,
      {
        hint: "State the preprocessing.",
      },
    );
  }
  const [usual, ...others] = pictureGeometries(batch, input);
  const first = tried ?? candidates(channels).map((how) => cut(how, usual));
  const score = async (how: Preprocessing, samples: Dataset): Promise<Trial> => {
    const metrics = [accuracy(), crossEntropy()];
    const [right, loss] = await evaluateAll(engine, model, preprocess(samples, input, how), metrics, rest);
    if (right === undefined || loss === undefined) throw new PithError("E_OPTION", "There is no metric to measure.");
    return { preprocessing: how, accuracy: right.estimate, loss: loss.estimate.value, right: right.rows };
  };
  /** Scores of all on the same samples, whose pictures are read once for each geometry. */
  const scoreAll = async (all: readonly Preprocessing[], samples: IndexedDataset): Promise<Trial[]> => {
    const trials: Trial[] = [];
    let stored: { readonly geometry: string; readonly samples: Dataset } | undefined;
    for (const how of all) {
      const geometry = geometryUsed(batch, input, how);
      if (stored?.geometry !== geometry) {
        stored = { geometry, samples: await collect(storedPictures(samples, input, how)) };
      }
      const { resize: _, crop: __, ...values } = how;
      const found = await score(geometry === "" ? how : values, stored.samples);
      trials.push({ ...found, preprocessing: how });
    }
    return trials.sort(order);
  };
  let trials: Trial[] = [];
  let contenders: Trial[] = [];
  let open = first;
  for (const size of rounds) {
    const found = await scoreAll(open, take(sample, size));
    trials = [...found, ...trials.filter((trial) => !open.includes(trial.preprocessing))];
    contenders = found.filter((trial) => notWorse(trial, found[0]));
    const [best] = contenders;
    // The other ways to cut are tried with the values that fit best, once those are known.
    if (size === rounds[0] && best !== undefined && tried === undefined && others.length > 0) {
      const more = await scoreAll(
        others.map((geometry) => cut(best.preprocessing, geometry)),
        take(sample, size),
      );
      trials = [...trials, ...more].sort(order);
      contenders = [...contenders, ...more].sort(order);
      contenders = contenders.filter((trial) => notWorse(trial, contenders[0]));
    }
    if (contenders.length <= 1 || sample.count <= size) break;
    open = contenders.map((trial) => trial.preprocessing);
  }
  // Where right answers do not decide, the loss does: it weighs how sure each answer is, so it sees more in the same samples.
  contenders.sort((a, b) => lossOf(a) - lossOf(b));
  trials = [...contenders, ...trials.filter((trial) => !contenders.includes(trial))];
  const [best] = trials;
  if (best === undefined) throw new PithError("E_OPTION", "There is no preprocessing to try.");
  const all = await sample.gather(Uint32Array.from({ length: best.right.length }, (_, index) => index));
  const chance = commonestShare(toFloat64(all.label ?? batch.label)) ?? 0;
  return {
    chosen: best.preprocessing,
    scores: trials.map(({ preprocessing, accuracy: share, loss }) => ({ preprocessing, accuracy: share, loss })),
    indistinct: contenders.filter((trial) => trial !== best).map((trial) => trial.preprocessing),
    chance,
    trusted: best.accuracy.low > chance,
  };
}

/** The same values of pictures that are resized and cut in some way; the name says it. */
function cut(how: Preprocessing, geometry: Geometry | undefined): Preprocessing {
  if (geometry === undefined) return how;
  const { resize: _, crop: __, filter: ___, ...values } = how;
  const [name = how.name] = how.name.split(" ");
  return { ...values, ...geometry, name: `${name} ${geometryText(geometry)}` };
}

interface Trial extends PreprocessingScore {
  /** 1 where the model was right, in the order of the samples. */
  readonly right: Float64Array;
}

/** Best first; a stable sort keeps the likelier one first where all is equal. */
function order(a: Trial, b: Trial): number {
  return b.accuracy.value - a.accuracy.value || lossOf(a) - lossOf(b);
}

/** A loss of NaN is the worst. */
function lossOf({ loss }: Trial): number {
  return Number.isFinite(loss) ? loss : Number.MAX_VALUE;
}

/** Whether the samples leave open that this one is as good as the best (McNemar, 5 %). */
function notWorse(trial: Trial, best: Trial | undefined): boolean {
  if (best === undefined || trial === best) return true;
  let onlyBest = 0;
  let onlyThis = 0;
  trial.right.forEach((own, sample) => {
    if (own < (best.right[sample] ?? 0)) onlyBest++;
    else if (own > (best.right[sample] ?? 0)) onlyThis++;
  });
  return onlyThis >= onlyBest || mcnemarExact(onlyBest, onlyThis) > 0.05;
}

/** The input that takes the images: the only one, or the only one in their shape. */
export function imageInput(model: Model): ImageInput {
  const { feeds } = model.graph;
  const shaped = feeds.filter(({ type }) => type?.dims?.length === 4);
  const [input, ...more] = feeds.length === 1 ? feeds : shaped;
  if (input !== undefined && more.length === 0) return input;
  const names = feeds.map((value) => value.name).join(", ");
  throw new PithError(
    "E_DATA",
    `The model has ${feeds.length} inputs (${names}): which one takes the images must be said.`,
  );
}
