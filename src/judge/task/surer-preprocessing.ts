/** Finds without labels whether a classifier is more confident with another preprocessing. */

import type { Engine } from "../../core/engine/engine.ts";
import type { Model } from "../../core/graph/model.ts";
import { pairedMeans } from "../../core/math/interval.ts";
import { collect, draw, firstBatch } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { geometryUsed, imageChannels, preprocess, withStoredImages } from "../../data/images/preprocess.ts";
import { candidates, contrastOf, type Preprocessing } from "../../data/images/presets.ts";
import { type EvaluateOptions, evaluateAll } from "../../runtime/metrics/evaluate.ts";
import { confidence } from "../../runtime/metrics/metrics.ts";
import { mean } from "../../runtime/metrics/regression.ts";
import { cut, drawSeed, imageInput } from "./guess-preprocessing.ts";

export interface Surer {
  readonly preprocessing: Preprocessing;
  /** Mean highest probability with the given preprocessing, and with this one. */
  readonly tried: number;
  readonly confidence: number;
  readonly samples: number;
}

/** Confidence differs by tens of points, so a few images suffice. */
const fewImages = 64;
const notable = 0.05;
/** Networks almost without biases are more confident on larger inputs, so a wider range proves nothing. */
const sameRange = 1.01;

/**
 * Returns a common preprocessing with which the classifier is more confident; then the given one is probably wrong. Only presets with a range no
 * wider than the given one are tried.
 * @returns undefined if there is none, or the data has no images.
 */
export async function surerPreprocessing(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  given: Preprocessing,
  options: EvaluateOptions = {},
): Promise<Surer | undefined> {
  const sample = draw(dataset, fewImages, drawSeed);
  const one = await firstBatch(sample);
  const input = imageInput(model);
  const channels = imageChannels(one, input);
  if (channels === undefined) return undefined;
  const { resize, crop, layout } = given;
  const others = candidates(channels)
    .filter((how) => contrastOf(how) <= sameRange * contrastOf(given) && !haveSameValues(how, given))
    .map((how) => ({ ...((resize ?? crop) ? cut(how, given) : how), ...(layout === undefined ? {} : { layout }) }));
  if (others.length === 0) return undefined;
  const stored = await collect(withStoredImages(sample, input, given));
  const sureness = async (how: Preprocessing): Promise<Float64Array> => {
    const { resize: _, crop: __, ...values } = how;
    const ready = preprocess(stored, input, geometryUsed(one, input, how) === "" ? how : values);
    const [found] = await evaluateAll(engine, model, ready, [confidence()], options);
    return found?.rows ?? new Float64Array();
  };
  const own = await sureness(given);
  let surest: Surer | undefined;
  for (const preprocessing of others) {
    const found = await sureness(preprocessing);
    const { value, low } = pairedMeans(own, found);
    // Comparisons are false for NaN outputs, which have no confidence.
    if (low > 0 && value >= notable && mean(found) > (surest?.confidence ?? 0))
      surest = { preprocessing, tried: mean(own), confidence: mean(found), samples: own.length };
  }
  return surest;
}

function haveSameValues(a: Preprocessing, b: Preprocessing): boolean {
  const values = ({ scale, mean, std, channels }: Preprocessing): string => String([scale, mean, std, channels]);
  return values(a) === values(b);
}
