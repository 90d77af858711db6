/**
 * Where a changed model departs from its original: signal to noise at the output of every layer, on the same samples.
 *
 * What is compared is a value that has the same name in both models and lies at the layer of that name or shortly behind it: its output; or,
 * where a clean-up put what follows into the layer, the output of what followed; or, where a layer became several nodes, the output of the last.
 * Of what is rounded to codes right there it is what its consumers see, the rounded value: quantization leaves an activation out where the ends
 * of the codes do the same, and the value before them is not what the original's name meant.
 * What has no such value, is no float, or has other dimensions (channels were cut) cannot be compared, and is listed. An error is carried on: the
 * first layer with few decibels is to blame, not those after it. Sums are in float64.
 */

import { asSeen } from "../analysis/codes.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch, DataType, Dense } from "../tensor/types.ts";
import { decibels } from "./comparison-metrics.ts";
import { type Observed, type ObserveOptions, overFeeds, overSamples } from "./over-samples.ts";

export interface LayerDifference {
  readonly layer: string;
  /** In decibels; infinite where nothing changed. */
  readonly signalToNoise: number;
  readonly cosine: number;
  readonly maxError: number;
}

export interface LayerComparison {
  readonly layers: readonly LayerDifference[];
  readonly misses: readonly Miss[];
}

const floats: ReadonlySet<DataType> = new Set<DataType>(["float32", "float16", "float64"]);

/**
 * Holds the output of every layer of a model against the original's, over the samples of a data set. Both run as they are written, without
 * graph optimization. Memory: all layers' outputs for one batch of each model (default 4 samples).
 * @throws PithError E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const { layers } = await compareLayers(createEngine(), original, smaller, calibration, { samples: 32 });
 * firstToBlame(layers)?.layer;
 */
export async function compareLayers(
  engine: Engine,
  original: Model,
  candidate: Model,
  dataset: Dataset,
  options: ObserveOptions = {},
): Promise<LayerComparison> {
  return differencesOf(original, candidate, async (models, add) => {
    await overSamples(engine, models, dataset, { batch: 4, ...options }, add);
  });
}

/** A model and what runs it. */
export interface Placed {
  readonly model: Model;
  readonly engine: Engine;
}

/** The same on what both are fed, each run by an engine of its own, with graph optimization. */
export async function compareLayersOn(
  original: Placed,
  candidate: Placed,
  feeds: readonly Batch[],
  signal: AbortSignal | undefined,
): Promise<LayerComparison> {
  return differencesOf(original.model, candidate.model, async ([before, after], add) => {
    const models = [
      { ...original, ...before },
      { ...candidate, ...after },
    ];
    await overFeeds(models, feeds, signal, add);
  });
}

/** Below so many decibels a layer's output no longer says what it said. */
export const fewDecibels = 10;

/** The first layer with few decibels, which those behind it have their error from; undefined where there is none. */
export function firstToBlame(layers: readonly LayerDifference[]): LayerDifference | undefined {
  return layers.find(({ signalToNoise }) => !(signalToNoise >= fewDecibels));
}

async function differencesOf(
  original: Model,
  candidate: Model,
  run: (
    models: readonly [before: Observed, after: Observed],
    add: (results: readonly Batch[]) => void,
  ) => Promise<void>,
): Promise<LayerComparison> {
  const misses: Miss[] = [];
  const pairs = pairsOf(original, candidate, misses);
  if (pairs.length === 0) return { layers: [], misses };
  const sums = new Map(pairs.map(({ layer }) => [layer, new Difference()]));
  const before = { model: original, observed: [...new Set(pairs.map((pair) => pair.before))] };
  const after = { model: candidate, observed: [...new Set(pairs.map((pair) => pair.after))] };
  await run([before, after], ([first = {}, second = {}]) => {
    for (const pair of pairs) {
      const [reference, other] = [first[pair.before], second[pair.after]];
      if (reference !== undefined && other !== undefined) sums.get(pair.layer)?.add(reference, other);
    }
  });
  const found = [...sums].flatMap(([layer, sum]): LayerDifference[] => {
    if (sum.apart === undefined) return [{ layer, ...sum.result() }];
    misses.push(new Miss(sum.apart, layer));
    return [];
  });
  return { layers: found, misses };
}

interface Pair {
  readonly layer: string;
  readonly before: string;
  readonly after: string;
}

/** Nodes that a layer may have become, or that may have gone into it: scales, casts, a bias, normalization, an activation. */
const mostNodesBehind = 8;

function pairsOf(original: Model, candidate: Model, misses: Miss[]): readonly Pair[] {
  const [before, after] = [original, candidate].map((model) => infer(model)) as [Inference, Inference];
  const byName = new Map(layersOf(candidate, after).map((layer) => [layer.name, layer]));
  const isFloat = (value: Value, inference: Inference): boolean =>
    floats.has(inference.operand(value)?.type ?? "string");
  return layersOf(original, before).flatMap((layer): Pair[] => {
    const own = byName.get(layer.name);
    if (own === undefined) {
      misses.push(new Miss("the model has no such layer", layer.name));
      return [];
    }
    const [theirs, ours] = [behind(layer), behind(own)];
    // The nearest to the layer in the model as it is now.
    for (const [name, value] of ours) {
      const same = theirs.get(name);
      if (same === undefined || !isFloat(value, after) || !isFloat(same, before)) continue;
      const seen = [asSeen(same, before), asSeen(value, after)] as const;
      if (seen[0] !== undefined && seen[1] !== undefined)
        return [{ layer: layer.name, before: seen[0].name, after: seen[1].name }];
      misses.push(new Miss("the next node computes on the layer's quantized values", layer.name));
      return [];
    }
    misses.push(new Miss("none of the layer's float values has the same name in both models", layer.name));
    return [];
  });
}

/** A layer's output and what is made of it along the way on which one value follows another, nearest first. */
function behind({ node }: Layer): ReadonlyMap<string, Value> {
  const found = new Map<string, Value>();
  let next: readonly Value[] =
    node.graph.parent === undefined ? node.outputs.slice(0, 1).flatMap((value) => value ?? []) : [];
  for (let step = 0; step <= mostNodesBehind && next.length > 0; step++) {
    for (const value of next) found.set(value.name, value);
    // Where several read a value, the layer ends.
    const [value] = next;
    const readers = value === undefined ? [] : [...new Set([...value.uses].map((use) => use.node))];
    next =
      readers.length === 1 && next.length === 1 ? (readers[0]?.outputs.flatMap((output) => output ?? []) ?? []) : [];
  }
  return found;
}

/** Running sums of two tensors; `apart` says why they have none. */
export class Difference {
  apart: string | undefined;
  #signal = 0;
  #otherSignal = 0;
  #noise = 0;
  #product = 0;
  #maxError = 0;

  add(reference: Dense, other: Dense): void {
    const [before, after] = [dimsText(reference.dims), dimsText(other.dims)];
    if (before !== after) {
      this.apart = `its output is ${before} in the original and ${after} in the model`;
      return;
    }
    const [xs, ys] = [toFloat64(reference), toFloat64(other)];
    for (let index = 0; index < xs.length; index++) {
      const [x = 0, y = 0] = [xs[index], ys[index]];
      this.#signal += x * x;
      this.#otherSignal += y * y;
      this.#noise += (x - y) ** 2;
      this.#product += x * y;
      // Nothing is greater than NaN, so a NaN stays.
      const error = Math.abs(x - y);
      if (Number.isNaN(error) || error > this.#maxError) this.#maxError = error;
    }
  }

  result(): Omit<LayerDifference, "layer"> {
    return {
      signalToNoise: decibels(this.#signal, this.#noise),
      // Two layers that say nothing say the same.
      cosine:
        this.#signal === 0 && this.#otherSignal === 0 ? 1 : this.#product / Math.sqrt(this.#signal * this.#otherSignal),
      maxError: this.#maxError,
    };
  }
}
