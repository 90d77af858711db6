/** Collects details for reports: samples with other predictions, and the difference of each layer from the original. */
import { asPithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { Dataset } from "../../data/index.ts";
import { compareLayers } from "../../runtime/noise/layers.ts";
import type { Disagreement, Noise } from "../record/data.ts";
import { viewsOf } from "../record/samples.ts";

/** Number of samples for comparing layers. It is small, because the outputs of all layers of both models are in memory at once. */
const comparedSamples = 16;

/**
 * Adds a view of the sample (a small image, text or first values) to each disagreement.
 * @param ready samples as the models receive them. @param stored the same samples before preprocessing, if available.
 */
export async function addSampleViews(
  disagreements: readonly Disagreement[],
  ready: Dataset,
  stored: Dataset | undefined,
): Promise<readonly Disagreement[]> {
  const views = await viewsOf(
    disagreements.map(({ sample }) => sample),
    ready,
    stored,
  );
  return disagreements.map((disagreement, index) => {
    const shown = views[index];
    return shown === undefined ? disagreement : { ...disagreement, shown };
  });
}

export async function noiseOf(original: Model, result: Model, test: Dataset, context: Context): Promise<Noise> {
  const { engine, signal } = context;
  try {
    const { layers, misses } = await compareLayers(engine, original, result, test, {
      samples: comparedSamples,
      signal,
    });
    const finiteLayers = layers.filter(
      ({ signalToNoise, maxError }) => signalToNoise > -Infinity && Number.isFinite(maxError),
    );
    const brokenLayers = layers.filter((layer) => !finiteLayers.includes(layer));
    return {
      samples: Math.min(comparedSamples, test.count ?? comparedSamples),
      layers: finiteLayers.map(({ layer, signalToNoise, cosine, maxError }) => ({
        layer,
        signalToNoise: signalToNoise === Infinity ? undefined : signalToNoise,
        cosine,
        maxError,
      })),
      misses: [
        ...brokenLayers.map(({ layer }) => ({ at: layer, reason: "its output is not finite" })),
        ...misses.map(({ at, reason }) => ({ at, reason })),
      ],
    };
  } catch (error) {
    return { samples: 0, layers: [], misses: [{ at: undefined, reason: asPithError(error).message }] };
  }
}
