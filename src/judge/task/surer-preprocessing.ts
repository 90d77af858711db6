/** Finds without labels whether a classifier is more confident with another preprocessing. */

import type { Engine } from "../../core/engine/engine.ts";
import type { Model } from "../../core/graph/model.ts";
import { pairedMeans } from "../../core/math/interval.ts";
import { draw, firstBatch } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { imageChannels } from "../../data/images/preprocess.ts";
import { candidates, contrastOf, type Preprocessing } from "../../data/images/presets.ts";
import type { EvaluateOptions } from "../../runtime/metrics/evaluate.ts";
import { confidence } from "../../runtime/metrics/metrics.ts";
import { mean } from "../../runtime/metrics/regression.ts";
import { drawSeed, evaluateEach, imageInput, withGeometry } from "./guess-preprocessing.ts";

export interface ConfidentPreprocessing {
  readonly preprocessing: Preprocessing;
  /** Mean highest probability with the stated preprocessing, and with this one. */
  readonly tried: number;
  readonly confidence: number;
  readonly samples: number;
}

/** Confidence differs by tens of points, so a few images suffice. */
const maxImages = 64;
const minDifference = 0.05;
/** Networks almost without biases are more confident on larger inputs, so a wider range proves nothing. */
const maxRangeRatio = 1.01;

/**
 * Returns the common preprocessing with which the classifier is most confident; then the stated one is probably wrong. Only presets with a range no
 * wider than the stated one are tried.
 * @returns undefined if none is better, or the data has no images.
 */
export async function findConfidentPreprocessing(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  stated: Preprocessing,
  options: EvaluateOptions = {},
): Promise<ConfidentPreprocessing | undefined> {
  const samples = draw(dataset, maxImages, drawSeed);
  const batch = await firstBatch(samples);
  const channels = imageChannels(batch, imageInput(model));
  if (channels === undefined) return undefined;
  const { resize, crop, layout } = stated;
  const presets = candidates(channels)
    .filter((how) => contrastOf(how) <= maxRangeRatio * contrastOf(stated) && !haveSameValues(how, stated))
    .map((how) => ((resize ?? crop) ? withGeometry(how, stated) : how))
    .map((how) => ({ ...how, ...(layout === undefined ? {} : { layout }) }));
  if (presets.length === 0) return undefined;
  const evaluated = evaluateEach(engine, model, samples, batch, [stated, ...presets], [confidence()], options);
  let reference: Float64Array | undefined;
  let best: ConfidentPreprocessing | undefined;
  for await (const { preprocessing, evaluations } of evaluated) {
    const rows = evaluations[0]?.rows ?? new Float64Array();
    reference ??= rows;
    const { value, low } = pairedMeans(reference, rows);
    // Comparisons are false for NaN outputs, which have no confidence.
    if (low > 0 && value >= minDifference && mean(rows) > (best?.confidence ?? 0))
      best = { preprocessing, tried: mean(reference), confidence: mean(rows), samples: reference.length };
  }
  return best;
}

function haveSameValues(a: Preprocessing, b: Preprocessing): boolean {
  const values = ({ scale, mean, std, channels }: Preprocessing): string => String([scale, mean, std, channels]);
  return values(a) === values(b);
}
