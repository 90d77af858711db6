/**
 * Answers which layer hurts, for the precision fallback and for the message about a rejected result. The rows are the changed layers. The columns
 * are estimates of the output error that each causes, with these costs:
 *
 *     share    only this layer replaced (`runtime/noise/layer-errors.ts`)            both models on a few samples, for each layer
 *     noise    error of the layer's output, or of its stored weight alone           both models once, or no run
 *     slope    the weight's change times the gradient (`taylor-errors.ts`)          about six runs per sample, for all layers
 *
 * `pith debug` prints these columns, too. The costliest estimate is the real drop of the metric, which `search/sensitivity` measures for each layer and
 * setting.
 */
import { asPithError, Miss, type Model, storedBytes, throwIfAborted } from "#ir";
import { type AnyPass, type Context, equalizedReference } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import type { Dataset } from "../../data/index.ts";
import { type Blame, type LayerErrorOptions, layerErrors } from "../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../runtime/noise/weight-errors.ts";
import type { FallbackRequest } from "./precision-fallback.ts";

export interface TableRequest extends Omit<FallbackRequest, "search"> {
  readonly samples: Dataset | undefined;
}

export interface LayerRow {
  /** Share of the output error; undefined if the layer did not run alone. */
  readonly share: number | undefined;
  /** The share, or without it, an estimate from another column. */
  readonly estimate: number;
}

export interface LayerTable {
  readonly rows: ReadonlyMap<string, LayerRow>;
  readonly blamed: Blame | undefined;
}

/** Numbers of samples for all columns, and for naming one layer only. */
const [tableSamples, blameSamples] = [32, 16];
/** Time of the gradients of a sample, in runs of the model. */
const gradientRuns = 6;
/** Maximum weight bytes of an original whose layers are run. For larger originals, the error of a layer is estimated from its weights alone. */
const maxRunBytes = 2 ** 29;

/** Does the work of columns that run the models. Without their result, other columns answer. @throws PithError E_STOPPED on the signal. */
async function tryRuns<T>(
  original: Model,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T | undefined> {
  if (storedBytes(original.graph) > maxRunBytes) return undefined;
  try {
    return await work();
  } catch (error) {
    asPithError(error);
    throwIfAborted(signal);
    return undefined;
  }
}

/**
 * Finds, on few samples, the layer that the message about a rejected result names; undefined if it cannot be determined. Takes about as long as the
 * evaluation at most (`evaluated`).
 * @throws PithError E_STOPPED on the signal.
 */
export async function findLayerToBlame(
  engine: Engine,
  original: Model,
  candidate: Model,
  data: Dataset | undefined,
  options: LayerErrorOptions & Required<Pick<LayerErrorOptions, "evaluated">>,
): Promise<Blame | undefined> {
  const errors = await tryRuns(original, options.signal, () =>
    layerErrors(engine, original, candidate, data, { samples: blameSamples, ...options }),
  );
  return errors instanceof Miss ? undefined : errors?.blamed;
}

/** Fills the table. Layers that did not run alone are estimated from the column that predicts the measured shares best. */
export async function layerTable(
  { pass, options, original, requestedOutput, run, samples, output, evaluated }: TableRequest,
  layers: ReadonlySet<string>,
  context: Context,
): Promise<LayerTable> {
  const { engine, seed, signal, progress } = context;
  const { model, changes } = requestedOutput;
  const [shares, noise] = [new Map<string, number>(), new Map<string, number>()];
  let slopes: ReadonlyMap<string, number> = new Map();
  const addNoise = (layer: string, decibels: number): void => {
    if (layers.has(layer)) noise.set(layer, Number.isNaN(decibels) ? Number.POSITIVE_INFINITY : 10 ** (-decibels / 10));
  };
  const blamed = await tryRuns(original, signal, async () => {
    const equalize = async (otherPass: AnyPass): Promise<Model> => (await run(options, otherPass)).model;
    const reference = await equalizedReference(pass, original, changes, equalize);
    const settings = { samples: tableSamples, output, seed, signal };
    const errors = await layerErrors(engine, reference, model, samples, {
      ...{ ...settings, evaluated },
      progress: (done, total) => progress(done, total, "errors of layers"),
    });
    if (errors instanceof Miss) return undefined;
    for (const { layer, own, share, signalToNoise } of errors.layers) {
      addNoise(layer, own ?? signalToNoise);
      if (share !== undefined && layers.has(layer)) shares.set(layer, share);
    }
    const gradients = Math.min(tableSamples, Math.floor((evaluated ?? Number.POSITIVE_INFINITY) / gradientRuns));
    if (shares.size < noise.size && samples !== undefined && gradients > 0) {
      // Training code is loaded only if it is needed.
      const { taylorErrors } = await import("./taylor-errors.ts");
      slopes = await taylorErrors(reference, model, samples, { ...settings, samples: gradients }, context);
    }
    return errors.blamed;
  });
  if (noise.size === 0)
    for (const [layer, decibels] of await weightErrors(engine, original, model, signal)) addNoise(layer, decibels);
  const predictors = [predictor(shares, noise), predictor(shares, slopes)] as const;
  const [best] = predictors.toSorted((a, b) => a.spread - b.spread);
  const rows = [...noise.keys()].map((layer): [string, LayerRow] => {
    const share = shares.get(layer);
    return [layer, { share, estimate: share ?? best?.predict(layer) ?? predictors[0].predict(layer) ?? 0 }];
  });
  return { rows: new Map(rows), blamed };
}

/**
 * Returns a function that predicts a layer's share from another figure of it: the figure times the median ratio of share to figure. `spread` is the
 * median deviation of the logarithmic ratios; a small spread means good predictions.
 */
function predictor(shares: ReadonlyMap<string, number>, figures: ReadonlyMap<string, number>) {
  const ratios = [...shares].map(([layer, share]) => share / (figures.get(layer) ?? Number.NaN));
  const ratio = median(ratios.filter(Number.isFinite)) ?? 1;
  const deviations = ratios.map((layerRatio) => Math.abs(Math.log(layerRatio / ratio)));
  return {
    spread: median(deviations.filter((deviation) => !Number.isNaN(deviation))) ?? Number.POSITIVE_INFINITY,
    predict(layer: string): number | undefined {
      const figure = figures.get(layer);
      return figure === undefined ? undefined : ratio * figure;
    },
  };
}

const median = (numbers: readonly number[]): number | undefined =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
