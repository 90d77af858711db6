/**
 * Which preprocessing a model was trained with, found by trying: a model scores far better on images prepared as it knows them.
 * The guess is stated, never silent; a best score no better than chance says that none of them was right.
 */
import { findImages, type ImageInput, preprocess } from "../data/preprocess.ts";
import { candidates, type Preprocessing } from "../data/presets.ts";
import { collect } from "../data/select.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { type EvaluateOptions, evaluateAll } from "./evaluate.ts";
import { accuracy, crossEntropy } from "./metrics.ts";
import type { Estimate } from "./types.ts";

/** Enough to tell 60 % from 70 %. */
const samplesTried = 256;

export interface PreprocessingGuess {
  readonly chosen: Preprocessing;
  /** Every preprocessing tried, best first. */
  readonly scores: readonly {
    readonly preprocessing: Preprocessing;
    readonly accuracy: Estimate;
    readonly loss: number;
  }[];
  /** The share that always giving the commonest label would get right: a score like it is none. */
  readonly chance: number;
  /** Whether the best score is told from chance: otherwise the preprocessing, the labels or the model are wrong. */
  readonly trusted: boolean;
}

/**
 * Tries the usual preprocessings on the first 256 samples and takes the one with which the model is right most often (on a tie: surer of it).
 * @throws PithError E_DATA if the data has no stored images or no labels, or does not fit the model.
 * @example
 * const { chosen, scores, trusted } = await guessPreprocessing(engine, model, dataset);
 */
export async function guessPreprocessing(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  options: EvaluateOptions & { readonly tried?: readonly Preprocessing[] } = {},
): Promise<PreprocessingGuess> {
  const sample = await collect(dataset, samplesTried);
  const batch = await sample.gather(Uint32Array.from({ length: sample.count }, (_, index) => index));
  const images = findImages(batch);
  const input = imageInput(model);
  if (images === undefined)
    throw new PithError("E_DATA", `${dataset.name} has no stored images (uint8): there is no preprocessing to guess.`);
  if (batch.label === undefined) {
    throw new PithError(
      "E_DATA",
      `${dataset.name} has no labels: which preprocessing is right cannot be found by trying.`,
      {
        hint: "State the preprocessing.",
      },
    );
  }
  const { tried = candidates(images.channels), ...rest } = options;
  const scores: { preprocessing: Preprocessing; accuracy: Estimate; loss: number }[] = [];
  for (const preprocessing of tried) {
    const [right, loss] = await evaluateAll(
      engine,
      model,
      preprocess(sample, input, preprocessing),
      [accuracy(), crossEntropy()],
      rest,
    );
    if (right !== undefined && loss !== undefined) {
      scores.push({ preprocessing, accuracy: right.estimate, loss: loss.estimate.value });
    }
  }
  // A stable sort keeps the likelier one first where all is equal; a loss of NaN is the worst.
  const rank = (loss: number): number => (Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss);
  scores.sort(
    (a, b) => b.accuracy.value - a.accuracy.value || (rank(a.loss) === rank(b.loss) ? 0 : rank(a.loss) - rank(b.loss)),
  );
  const [best] = scores;
  if (best === undefined) throw new PithError("E_USAGE", "There is no preprocessing to try.");
  const chance = commonestShare(toFloat64(batch.label));
  return { chosen: best.preprocessing, scores, chance, trusted: best.accuracy.low > chance };
}

/** The input that takes the images: the only one. */
export function imageInput(model: Model): ImageInput {
  const [input, ...more] = model.graph.feeds;
  if (input !== undefined && more.length === 0) return input;
  const names = model.graph.feeds.map((value) => value.name).join(", ");
  throw new PithError(
    "E_DATA",
    `The model has ${model.graph.feeds.length} inputs (${names}): which one takes the images must be said.`,
  );
}

function commonestShare(labels: Float64Array): number {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Math.max(...counts.values()) / labels.length;
}
