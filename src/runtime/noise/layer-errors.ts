/** Finds the layer that causes most of the output error by running the original with only that layer replaced (`exchange.ts`). */
import { infer, layers as layersOf } from "#analysis";
import type { Dataset } from "#batches";
import type { Batch, Model, Node } from "#ir";
import { asPithError, elementCount, joinList, Miss, stripPeriod, usedValues } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { minSamples } from "../paired/candidate-sizes.ts";
import { inputsFor } from "../paired/paired-runs.ts";
import { worstFirst } from "../run/difference.ts";
import { areBatches, type ObserveOptions, runOverBatches, type Samples } from "../run/run-over-samples.ts";
import { loadExchange } from "./exchange.ts";
import { type LayerDifference, measureDifferences, type ValuePair, valuePairs } from "./layer-differences.ts";
import { OutputNoise } from "./output-noise.ts";

export interface LayerError extends LayerDifference {
  /** "operation": an operation without a weight whose result the candidate quantizes. "output": a model output that no layer computes. */
  readonly kind: "layer" | "operation" | "output";
  readonly operator: string;
  /** Signal to noise in decibels if the layers before are the original's. */
  readonly own: number | undefined;
  /** Output error with only this layer replaced, divided by the error with all replaced. */
  readonly share: number | undefined;
  /** Earlier layers whose outputs cannot be compared. Their errors count here. */
  readonly hidden: readonly string[];
}

/** The layers that explain most of the output error. */
export interface Blame extends Pick<LayerError, "operator" | "share"> {
  /** "before": computed between that layer and earlier ones. */
  readonly kind: LayerError["kind"] | "before";
  readonly layers: readonly string[];
}

export interface LayerErrors {
  readonly layers: readonly LayerError[];
  readonly blamed: Blame | undefined;
  readonly misses: readonly Miss[];
}

export interface LayerErrorOptions extends ObserveOptions {
  /** The only output whose error is explained; default: all float outputs. */
  readonly output?: string | undefined;
  readonly seed?: number | undefined;
  /** Samples for single layers (8), and maximum multiply-accumulates (1e11). */
  readonly alone?: { readonly samples: number; readonly work: number };
  /** Number of samples on which the command ran both models before: the search then takes about as long at most (default: no such limit). */
  readonly evaluated?: number | undefined;
}

const [randomRuns, infinite] = [2, Number.POSITIVE_INFINITY];
const defaultAlone = { samples: 8, work: 1e11 };
/** Minimum number of layers that run alone, without and with a limit by `evaluated`. */
const minLayersAlone = { unlimited: 8, limited: 2 };
/** Multiply-accumulates that `evaluated` does not limit, because they take less than a second. */
const smallWork = 1e9;

/**
 * Measures the error at each layer's output, each layer's own contribution, and the layer that explains most of the output error.
 * A layer's share is Σ noise / signal over parts of the float outputs with only this layer replaced, relative to all replaced.
 * @param data Samples; undefined: random inputs.
 * @returns a Miss if the two cannot be compared on random inputs.
 * @throws PithError E_DATA if the data does not fit, E_ENGINE if the candidate does not run, E_STOPPED on the signal.
 * @example
 * const errors = await layerErrors(createEngine(), original, smaller, calibration, { samples: 32 });
 * if (!(errors instanceof Miss)) console.log(errors.blamed?.layers, errors.blamed?.share);
 */
export async function layerErrors(
  engine: Engine,
  original: Model,
  candidate: Model,
  data: Dataset | undefined,
  { output, seed = 0, ...requested }: LayerErrorOptions = {},
): Promise<LayerErrors | Miss> {
  const { signal, evaluated = infinite, samples: maxSamples = infinite } = requested;
  const work = evaluated === infinite ? undefined : smallWork;
  const inputs = await inputsFor({ engine, original, result: candidate }, data, { seed, signal, work });
  if (inputs instanceof Miss) return inputs;
  const observedCount = Math.min(maxSamples, Math.max(minSamples, Math.floor(evaluated / 8)));
  const options = { ...requested, evaluated: evaluated / inputs.perRun, samples: observedCount };
  const models = [inputs.original, inputs.result] as const;
  const samples = areBatches(inputs.samples) ? inputs.samples.slice(0, randomRuns) : inputs.samples;
  const misses: Miss[] = [];
  const allPlaces = valuePairs(...models, misses);
  const differences = await measureDifferences(engine, models, allPlaces, samples, options, misses);
  // The values of a recurrent layer are one node.
  const places = [...new Map(differences.map(({ place }) => [place.before[0], place])).values()];
  const alone = await errorsOfSingleLayers(engine, models, places, samples, { ...options, output }).catch(
    (error: unknown) => new Miss(stripPeriod(asPithError(error).message)),
  );
  if (alone instanceof Miss) misses.push(new Miss(`no layer could be run alone: ${alone.reason}`));
  const hiddenLayers = findHiddenValues(models[0], places);
  const layers = differences.map(({ place: { layer, kind, operator, before }, signalToNoise }): LayerError => {
    const errors = alone instanceof Miss ? undefined : alone.get(before[0]);
    const { own, share } = errors ?? { own: undefined, share: undefined };
    return { layer, kind, operator, signalToNoise, own, share, hidden: hiddenLayers.get(before[0]) ?? [] };
  });
  const largest = largestError(layers);
  return { layers, blamed: largest && blameOf(largest, models), misses };
}

/** Returns, for each place, the uncompared layers between the nearest compared values and this place. */
function findHiddenValues(
  model: Model,
  places: readonly ValuePair[],
): ReadonlyMap<string | undefined, readonly string[]> {
  const ends = new Set(places.flatMap(({ before }) => before));
  const comparedNames = new Set(places.map(({ layer }) => layer));
  const uncomparedLayers = layersOf(model, infer(model)).filter(({ name }) => !comparedNames.has(name));
  return new Map(
    places.map(({ before }) => {
      const between = new Set<Node>();
      const open = before.flatMap((name) => model.graph.value(name)?.producer ?? []);
      for (let node = open.pop(); node !== undefined; node = open.pop()) {
        if (between.has(node)) continue;
        between.add(node);
        for (const { name, producer } of usedValues(node))
          if (producer !== undefined && !ends.has(name)) open.push(producer);
      }
      return [before[0], [...new Set(uncomparedLayers.flatMap(({ name, node }) => (between.has(node) ? [name] : [])))]];
    }),
  );
}

function blameOf({ layer, kind, operator, share, hidden }: LayerError, models: readonly Model[]): Blame {
  if (hidden.length === 0) return { layers: [layer], kind, operator, share };
  const counts = models.map((model) => layersOf(model, infer(model)).find(({ name }) => name === layer)?.inputs);
  const [before = 0, after = before] = counts;
  return { layers: kind !== "layer" || after < before ? hidden : [...hidden, layer], kind: "layer", operator, share };
}

/** Returns the finding if it is no layer or one of its layers changed; else kind "before", or undefined if its share was not measured. */
export function restrictToChanged(blame: Blame, changedLayers: ReadonlySet<string>): Blame | undefined {
  if (blame.kind !== "layer" || blame.layers.some((layer) => changedLayers.has(layer))) return blame;
  return blame.share === undefined ? undefined : { ...blame, kind: "before" };
}

/** Minimum share of a layer that is reported as the main cause. */
const minDominantShare = 0.25;

/** Returns whether no single layer dominates the output error. */
export function isSpread({ layers, share }: Pick<Blame, "layers" | "share">): boolean {
  return layers.length > 1 || (share !== undefined && share < minDominantShare);
}

/** Returns, for example: `The largest error comes from layer "conv_9" (96 % of the error, if only it is changed)`. */
export function blameText({ layers, kind, operator, share }: Blame): string {
  const [layer = ""] = layers;
  const nouns = { layer: "layer", output: "output", operation: operator, before: "operations before layer" };
  const description = `${nouns[kind]} "${layer}"`;
  const sentence = `The largest error comes from ${description}`;
  if (layers.length > 1)
    return `The largest error comes from ${layers.length} layers that lost channels: ${joinList(layers)}. Their errors can only be measured jointly; prune one alone to see its own`;
  if (share === Number.POSITIVE_INFINITY) return `${sentence} (alone it makes numbers that are not finite)`;
  if (share === undefined || share === 0) return sentence;
  const percent = `${Math.round(100 * Math.min(1, share))} %`;
  return isSpread({ layers, share })
    ? `The error is spread over many layers: the largest share, of ${description}, is ${percent}`
    : `${sentence} (${percent} of the error, if only it is changed)`;
}

/** Returns the layer with the largest share, or else the noisiest one. */
function largestError(layers: readonly LayerError[]): LayerError | undefined {
  const [largest] = worstFirst(layers, ({ share = 0 }) => share);
  if ((largest?.share ?? 0) > 0) return largest;
  const noiseOf = ({ own, signalToNoise }: LayerError): number => -(own ?? signalToNoise);
  const [noisiest] = worstFirst(layers, noiseOf);
  return noisiest === undefined || noiseOf(noisiest) === -infinite ? undefined : noisiest;
}

async function errorsOfSingleLayers(
  engine: Engine,
  [original, candidate]: readonly [Model, Model],
  places: readonly ValuePair[],
  samples: Samples,
  { output, alone = defaultAlone, evaluated = infinite, ...options }: Omit<LayerErrorOptions, "seed">,
): Promise<ReadonlyMap<string | undefined, Pick<LayerError, "own" | "share">> | Miss> {
  if (places.length === 0) return new Map();
  const exchange = await loadExchange(engine, original, candidate, places, samples);
  if (exchange instanceof Miss) return exchange;
  const { signal, samples: count = alone.samples, batch = 4, shuffle } = options;
  const aloneOptions = { batch, shuffle, signal, samples: Math.min(alone.samples, count) };
  try {
    const ends = exchange.names.flatMap(({ original, candidate }) => [original, candidate]);
    const observer = await exchange.runner(new Set(), ends);
    const noises = places.map(() => new OutputNoise(original));
    let [batches, work] = [0, 0];
    const observedCount = await runOverBatches(samples, { batch, ...options }, async (rows) => {
      const observedBatch = await observer.run(rows);
      batches++;
      for (const [index, names] of exchange.names.entries()) {
        const { before: [name = ""] = [], fan = 0 } = places[index] ?? {};
        const before = observedBatch[names.original];
        noises[index]?.addValue(name, before, observedBatch[names.candidate]);
        work += 2 * fan * elementCount(before?.dims ?? []);
      }
    });
    const ownErrors: (number | undefined)[] = noises.map(({ worst }) => worst.signalToNoise);
    const outputsWith = async (selectedPlaces: ReadonlySet<number>) => {
      const runner = await exchange.runner(selectedPlaces, []);
      const outputs: Batch[] = [];
      const samplesRun = await runOverBatches(
        samples,
        aloneOptions,
        async (rows) => void outputs.push(await runner.run(rows)),
      );
      return { outputs, samplesRun };
    };
    const { outputs: originalOutputs, samplesRun: aloneCount } = await outputsWith(new Set());
    /** Returns Σ noise / signal over the parts of the outputs with the selected places replaced. */
    const errorWith = async (selectedPlaces: ReadonlySet<number>): Promise<number> => {
      const noise = new OutputNoise(original);
      for (const [index, after] of (await outputsWith(selectedPlaces)).outputs.entries())
        for (const [name, before] of Object.entries(originalOutputs[index] ?? {}))
          if (output === undefined || name === output) noise.addValue(name, before, after[name]);
      return noise.sum;
    };
    const totalError = await errorWith(new Set(places.keys()));
    const noisy = [...places.keys()].filter((index) => ownErrors[index] !== Number.POSITIVE_INFINITY);
    const workOfLayer = (work * originalOutputs.length) / batches;
    // Without optimization, a run takes about twice the time of an evaluation.
    const withinEvaluated = (evaluated / 2 - 2 * (observedCount + aloneCount)) / aloneCount;
    const affordable = Math.min(alone.work / workOfLayer, Math.max(withinEvaluated, smallWork / workOfLayer));
    const minLayers = evaluated === infinite ? minLayersAlone.unlimited : minLayersAlone.limited;
    const shares = new Map<number, number>();
    const noisiest = worstFirst(noisy, (index) => -(ownErrors[index] ?? 0));
    const measuredPlaces = noisiest.slice(0, Math.max(minLayers, affordable));
    for (const [done, index] of measuredPlaces.entries()) {
      options.progress?.(done, measuredPlaces.length);
      const error = await errorWith(new Set([index]));
      if (Number.isFinite(error)) shares.set(index, totalError > 0 ? error / totalError : 0);
      // A layer that divides by zero only without the other changes gives no information about the result.
      else if (Number.isFinite(totalError)) ownErrors[index] = undefined;
      else shares.set(index, Number.POSITIVE_INFINITY);
    }
    return new Map(places.map(({ before }, index) => [before[0], { own: ownErrors[index], share: shares.get(index) }]));
  } finally {
    await exchange.release();
  }
}
