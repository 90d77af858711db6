/** Computes each quantized layer's share of the output error: measured with only this layer quantized, or estimated if that would take too long. */
import { asPithError, Miss, storedBytes, throwIfAborted } from "#ir";
import { type Context, equalizedReference } from "#pass";
import type { Dataset } from "../../data/index.ts";
import { type Blame, layerErrors } from "../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../runtime/noise/weight-errors.ts";
import type { FallbackRequest } from "./precision-fallback.ts";

export interface ErrorsRequest extends Omit<FallbackRequest, "search"> {
  readonly samples: Dataset | undefined;
}

export interface ErrorShares {
  /** Measured shares of the output error by layer. */
  readonly shares: ReadonlyMap<string, number>;
  /** Measured or estimated shares of all layers. */
  readonly estimates: ReadonlyMap<string, number>;
  readonly blamed: Blame | undefined;
}

const samplesOfErrors = 32;
/** Time of the gradients of a sample, in runs of the model. */
const gradientRuns = 6;
/** Maximum weight bytes of an original whose layers are run. For larger originals, the error of a layer is estimated from its weights alone. */
const maxRunBytes = 2 ** 29;

/**
 * Measures or estimates the error share of each layer. Layers that were not measured are estimated from their output noise or from gradients,
 * whichever predicts the measured shares better.
 */
export async function errorSharesOf(
  { pass, options: requestedOptions, original, requestedOutput, run, samples, output, evaluated }: ErrorsRequest,
  layers: ReadonlySet<string>,
  context: Context,
): Promise<ErrorShares> {
  const { engine, seed, signal, progress } = context;
  let blamed: Blame | undefined;
  const noise = new Map<string, number>();
  const shares = new Map<string, number>();
  let slopes: ReadonlyMap<string, number> = new Map();
  const noiseOf = (decibels: number): number =>
    Number.isNaN(decibels) ? Number.POSITIVE_INFINITY : 10 ** (-decibels / 10);
  if (storedBytes(original.graph) <= maxRunBytes)
    try {
      const reference = await equalizedReference(
        pass,
        original,
        requestedOutput.changes,
        async (otherPass) => (await run(requestedOptions, otherPass)).model,
      );
      const options = { samples: samplesOfErrors, output, seed, signal };
      const errors = await layerErrors(engine, reference, requestedOutput.model, samples, {
        ...{ ...options, evaluated },
        progress: (done, total) => progress(done, total, "errors of layers"),
      });
      blamed = errors instanceof Miss ? undefined : errors.blamed;
      for (const { layer, own, share, signalToNoise } of errors instanceof Miss ? [] : errors.layers) {
        if (!layers.has(layer)) continue;
        noise.set(layer, noiseOf(own ?? signalToNoise));
        if (share !== undefined) shares.set(layer, share);
      }
      const gradients = Math.min(samplesOfErrors, Math.floor((evaluated ?? Number.POSITIVE_INFINITY) / gradientRuns));
      if (shares.size < noise.size && samples !== undefined && gradients > 0) {
        // Training code is loaded only if it is needed.
        const { taylorErrors } = await import("./taylor-errors.ts");
        const taylorOptions = { ...options, samples: gradients };
        slopes = await taylorErrors(reference, requestedOutput.model, samples, taylorOptions, context);
      }
    } catch (error) {
      asPithError(error);
      throwIfAborted(signal);
    }
  if (noise.size === 0)
    for (const [layer, decibels] of await weightErrors(engine, original, requestedOutput.model, signal))
      if (layers.has(layer)) noise.set(layer, noiseOf(decibels));
  const predictors = [noise, slopes].map((figures) => predictor(shares, figures));
  const [bestPredictor] = predictors.toSorted((a, b) => a.spread - b.spread);
  const estimates = [...noise.keys()].map((layer) => {
    const candidates = [shares.get(layer), bestPredictor?.predict(layer), predictors[0]?.predict(layer)];
    return [layer, candidates.find((estimate) => estimate !== undefined) ?? 0] as const;
  });
  return { shares, estimates: new Map(estimates), blamed };
}

/**
 * Returns a function that predicts a layer's share from another figure of it: the figure times the median ratio of share to figure. `spread` is the
 * median deviation of the logarithmic ratios; a small spread means good predictions.
 */
function predictor(shares: ReadonlyMap<string, number>, figures: ReadonlyMap<string, number>) {
  const ratios = [...shares].map(([layer, share]) => share / (figures.get(layer) ?? Number.NaN));
  const ratio = median(ratios.filter(Number.isFinite)) ?? 1;
  return {
    spread:
      median(
        ratios
          .map((layerRatio) => Math.abs(Math.log(layerRatio / ratio)))
          .filter((deviation) => !Number.isNaN(deviation)),
      ) ?? Number.POSITIVE_INFINITY,
    predict(layer: string): number | undefined {
      const figure = figures.get(layer);
      return figure === undefined ? undefined : ratio * figure;
    },
  };
}

const median = (numbers: readonly number[]): number | undefined =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
