/**
 * Answers which layer hurts. The columns are estimates of the output error that each layer causes:
 *
 *   share  only this layer replaced (`runtime/noise/layer-errors.ts`)      both models on a few samples, for each layer
 *   noise  error of the layer's output, or of its stored weight alone      both models once, or no run
 *   slope  the weight's change times the gradient (`taylor-errors.ts`)     about six runs per sample, for all layers
 *
 * Layers that did not run alone are estimated from the column that predicts the measured shares best. For 4-bit weights of a MobileNetV2 this is the
 * slope (rank correlation 0.82, noise 0.62), for static int8 of a ResNet-20 the noise (0.35, slope −0.34), because a slope ignores activations.
 */
import { asPithError, Miss, type Model, storedBytes, throwIfAborted } from "#ir";
import { type AnyPass, type Context, equalizedReference } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import type { Dataset } from "../../data/index.ts";
import type { Blame, LayerError, LayerErrorOptions, LayerErrors } from "../../runtime/noise/layer-errors.ts";
import { layerErrors } from "../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../runtime/noise/weight-errors.ts";
import type { FallbackRequest } from "./precision-fallback.ts";

export interface LayerTableRequest extends Omit<FallbackRequest, "search"> {
  readonly samples: Dataset | undefined;
}

export interface LayerRow extends LayerError {
  /** The share, or an estimate from another column. */
  readonly estimate?: number | undefined;
}

export interface LayerTable extends Omit<LayerErrors, "layers"> {
  readonly rows: readonly LayerRow[];
}

/** Samples for all columns, and for naming one layer. */
export const tableSamples = 32;
const blameSamples = 16;
/** Time of the gradients of a sample, in runs of the model. */
const gradientRuns = 6;
/** For larger originals, the error of a layer is estimated from its weights alone. */
const maxRunBytes = 2 ** 29;

/** Returns undefined if the models cannot run. @throws PithError E_STOPPED on the signal. */
async function tryRuns<T>(
  original: Model,
  signal: AbortSignal | undefined,
  work: () => Promise<T | Miss>,
): Promise<T | undefined> {
  if (storedBytes(original.graph) > maxRunBytes) return undefined;
  try {
    const column = await work();
    return column instanceof Miss ? undefined : column;
  } catch (error) {
    asPithError(error);
    throwIfAborted(signal);
    return undefined;
  }
}

/** Finds, on few samples, the layer that the message about a rejected result names. @throws PithError E_STOPPED on the signal. */
export async function findLayerToBlame(
  engine: Engine,
  original: Model,
  candidate: Model,
  data: Dataset | undefined,
  options: LayerErrorOptions & Required<Pick<LayerErrorOptions, "evaluated">>,
): Promise<Blame | undefined> {
  const settings = { samples: blameSamples, ...options };
  const run = () => layerErrors(engine, original, candidate, data, settings);
  return (await tryRuns(original, options.signal, run))?.blamed;
}

/** @param data undefined: random inputs. @returns a Miss if the models cannot be compared on these. @throws PithError as `layerErrors`. */
export async function computeLayerTable(
  original: Model,
  candidate: Model,
  data: Dataset | undefined,
  options: Omit<LayerErrorOptions, "seed" | "signal">,
  context: Context,
): Promise<LayerTable | Miss> {
  const { engine, seed, signal } = context;
  const { evaluated = Number.POSITIVE_INFINITY, samples = tableSamples, output } = options;
  const errors = await layerErrors(engine, original, candidate, data, { ...options, samples, seed, signal });
  if (errors instanceof Miss) return errors;
  const { layers, ...summary } = errors;
  const noise = new Map(layers.map(({ layer, own, signalToNoise }) => [layer, noiseOf(own ?? signalToNoise)]));
  const shares = new Map(layers.flatMap(({ layer, share }) => (share === undefined ? [] : [[layer, share] as const])));
  const gradients = Math.min(samples, tableSamples, Math.floor(evaluated / gradientRuns));
  const isIncomplete = [...noise].some(([layer, power]) => power > 0 && !shares.has(layer));
  const columns: ReadonlyMap<string, number>[] = [noise];
  if (isIncomplete && data !== undefined && gradients > 0) {
    // Training code is loaded only if it is needed.
    const { estimateTaylorErrors: taylorErrors } = await import("./taylor-errors.ts");
    const settings = { samples: gradients, output };
    const slopes = await tryRuns(original, signal, () => taylorErrors(original, candidate, data, settings, context));
    if (slopes !== undefined) columns.push(slopes);
  }
  const predictions = columns.map((column) => predict(shares, column)).toSorted((a, b) => a.spread - b.spread);
  const estimateOf = (layer: string): number | undefined =>
    predictions.find(({ column }) => column.has(layer))?.column.get(layer);
  return { ...summary, rows: layers.map((row) => ({ ...row, estimate: row.share ?? estimateOf(row.layer) })) };
}

/** Squared error relative to the signal, from decibels. */
const noiseOf = (decibels: number): number =>
  Number.isNaN(decibels) ? Number.POSITIVE_INFINITY : 10 ** (-decibels / 10);

export interface ErrorEstimates extends Pick<LayerTable, "blamed"> {
  readonly rows: ReadonlyMap<string, Partial<Pick<LayerRow, "share" | "estimate">>>;
}

/** If the models are large or cannot run, errors are estimated from the weights alone. */
export async function estimateErrors(
  { pass, options, original, requestedOutput, run, samples, output, evaluated }: LayerTableRequest,
  layers: ReadonlySet<string>,
  context: Context,
): Promise<ErrorEstimates> {
  const { model, changes } = requestedOutput;
  const table = await tryRuns(original, context.signal, async () => {
    const equalize = async (otherPass: AnyPass): Promise<Model> => (await run(options, otherPass)).model;
    const reference = await equalizedReference(pass, original, changes, equalize);
    const progress = (done: number, total?: number): void => context.progress(done, total, "errors of layers");
    return computeLayerTable(reference, model, samples, { output, evaluated, progress }, context);
  });
  const { rows = [], blamed } = table ?? {};
  const changedRows = rows.filter(({ layer }) => layers.has(layer));
  if (changedRows.length > 0) return { rows: new Map(changedRows.map((row) => [row.layer, row])), blamed };
  const weights = await weightErrors(context.engine, original, model, context.signal);
  const estimates = Array.from(weights, ([layer, decibels]) => [layer, { estimate: noiseOf(decibels) }] as const);
  return { rows: new Map(estimates), blamed };
}

/** Predicts shares: a figure times the median ratio of share to figure. `spread`: median deviation of the log ratios. */
function predict(shares: ReadonlyMap<string, number>, figures: ReadonlyMap<string, number>) {
  const ratios = [...shares].map(([layer, share]) => share / (figures.get(layer) ?? Number.NaN));
  const ratio = median(ratios.filter(Number.isFinite)) ?? 1;
  const deviations = ratios.map((layerRatio) => Math.abs(Math.log(layerRatio / ratio)));
  const spread = median(deviations.filter((deviation) => !Number.isNaN(deviation))) ?? Number.POSITIVE_INFINITY;
  return { spread, column: new Map(Array.from(figures, ([layer, figure]) => [layer, ratio * figure])) };
}

const median = (numbers: readonly number[]): number | undefined =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
