/** What each layer that a step rounded has of the error of the outputs: measured, estimated where that takes too long. */

import type { Dataset } from "../data/index.ts";
import { Miss, refusalIn, stopIfAsked } from "../errors.ts";
import { layerErrors, weightErrors } from "../evaluate/index.ts";
import { storedBytes } from "../graph/graph.ts";
import { type Context, unroundedBy } from "../passes/pass.ts";
import type { SparingRequest } from "./sparing.ts";
import { taylorErrors } from "./taylor-errors.ts";

export interface ErrorsRequest extends Omit<SparingRequest, "search"> {
  /** Undefined: random inputs. */
  readonly samples: Dataset | undefined;
}

/** Samples that show which layer errs. */
const samplesOfErrors = 32;
/** Weights of an original, in bytes, beyond which only weights are compared: two models at once would take too long. */
const largestRun = 2 ** 29;

/**
 * The share of each layer in the error of the outputs; where it was not run alone, estimated from the noise that it adds where it is, or to first order from
 * gradients: from what is closer to the shares that are known. (Of weights gradients are; of what is rounded between layers they say nothing.)
 */
export async function errorsOf(
  { pass, options: given, original, plain, run, samples, output }: ErrorsRequest,
  layers: ReadonlySet<string>,
  context: Context,
): Promise<{ readonly shares: ReadonlyMap<string, number>; readonly estimates: ReadonlyMap<string, number> }> {
  const { engine, seed, signal } = context;
  const noise = new Map<string, number>();
  const shares = new Map<string, number>();
  let slopes: ReadonlyMap<string, number> = new Map();
  const noiseOf = (decibels: number): number =>
    Number.isNaN(decibels) ? Number.POSITIVE_INFINITY : 10 ** (-decibels / 10);
  if (storedBytes(original.graph) <= largestRun)
    try {
      const unrounded = await unroundedBy(pass, original, plain.changes, async (of) => (await run(given, of)).model);
      const options = { samples: samplesOfErrors, output, seed, signal };
      const found = await layerErrors(engine, unrounded, plain.model, samples, options);
      for (const { layer, own, share, signalToNoise } of found instanceof Miss ? [] : found.layers) {
        if (!layers.has(layer)) continue;
        noise.set(layer, noiseOf(own ?? signalToNoise));
        if (share !== undefined) shares.set(layer, share);
      }
      if (shares.size < noise.size && samples !== undefined)
        slopes = await taylorErrors(unrounded, plain.model, samples, options, context);
    } catch (error) {
      refusalIn(error);
      stopIfAsked(signal);
    }
  if (noise.size === 0)
    for (const [layer, decibels] of await weightErrors(engine, original, plain.model, signal))
      if (layers.has(layer)) noise.set(layer, noiseOf(decibels));
  const predictors = [noise, slopes].map((figures) => predictor(shares, figures));
  const [closest] = predictors.toSorted((a, b) => a.spread - b.spread);
  const estimates = [...noise.keys()].map((layer) => {
    const known = [shares.get(layer), closest?.of(layer), predictors[0]?.of(layer)];
    return [layer, known.find((one) => one !== undefined) ?? 0] as const;
  });
  return { shares, estimates: new Map(estimates) };
}

/** Other figures of layers, times the median ratio of the shares to them; and how far the logarithms of these ratios lie from their median, in the middle. */
function predictor(shares: ReadonlyMap<string, number>, figures: ReadonlyMap<string, number>) {
  const ratios = [...shares].map(([layer, share]) => share / (figures.get(layer) ?? Number.NaN));
  const ratio = median(ratios.filter(Number.isFinite)) ?? 1;
  return {
    spread:
      median(ratios.map((own) => Math.abs(Math.log(own / ratio))).filter((far) => !Number.isNaN(far))) ??
      Number.POSITIVE_INFINITY,
    of(layer: string): number | undefined {
      const figure = figures.get(layer);
      return figure === undefined ? undefined : ratio * figure;
    },
  };
}

const median = (numbers: readonly number[]): number | undefined =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
