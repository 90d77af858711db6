/**
 * Where a changed model departs from its original: signal to noise at the output of every layer, on the same samples.
 *
 * A layer's output is found in the changed model by its name, or as the output of the layer of that name. What is no float there (an
 * integer product before it is scaled back) or has other dimensions (channels were cut) cannot be compared, and is listed. An error is
 * carried on: the first layer with few decibels is to blame, not those after it. Sums are in float64.
 */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { dimsText } from "../tensor/dims.ts";
import type { DataType, Dense } from "../tensor/types.ts";
import { decibels } from "./against.ts";
import { type ObserveOptions, overSamples, withOutputs } from "./observe.ts";

export interface LayerDifference {
  readonly layer: string;
  /** In decibels; infinite where nothing changed. */
  readonly signalToNoise: number;
  readonly cosine: number;
  readonly maxError: number;
}

export interface LayerComparison {
  /** In the order of the original's graph. */
  readonly layers: readonly LayerDifference[];
  /** Layers that could not be compared, with the reason. */
  readonly misses: readonly Miss[];
}

const floats: ReadonlySet<DataType> = new Set<DataType>(["float32", "float16", "float64"]);

/**
 * Holds the output of every layer of a model against the original's, over the samples of a data set. Both run as they are written, without
 * graph optimization. Memory: all layers' outputs for one batch of each model (default 4 samples).
 * @throws PithError E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const { layers } = await compareLayers(createEngine(), original, smaller, calibration, { samples: 32 });
 * layers.find(({ signalToNoise }) => signalToNoise < 20)?.layer; // the first to blame
 */
export async function compareLayers(
  engine: Engine,
  original: Model,
  candidate: Model,
  dataset: Dataset,
  options: ObserveOptions = {},
): Promise<LayerComparison> {
  const misses: Miss[] = [];
  const pairs = pairsOf(original, candidate, misses);
  if (pairs.length === 0) return { layers: [], misses };
  const sums = new Map(pairs.map(({ layer }) => [layer, new Difference()]));
  const models = [
    withOutputs(original, [...new Set(pairs.map(({ before }) => before))]),
    withOutputs(candidate, [...new Set(pairs.map(({ after }) => after))]),
  ];
  await overSamples(engine, models, dataset, { batch: 4, ...options }, ([first = {}, second = {}]) => {
    for (const { layer, before, after } of pairs) {
      const [reference, other] = [first[before], second[after]];
      if (reference !== undefined && other !== undefined) sums.get(layer)?.add(reference, other);
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
  /** Names of the layer's output in the original and in the candidate. */
  readonly before: string;
  readonly after: string;
}

function pairsOf(original: Model, candidate: Model, misses: Miss[]): readonly Pair[] {
  const inference = infer(candidate);
  const byName = new Map(layersOf(candidate, inference).map((layer) => [layer.name, layer]));
  const isFloat = (value: Value | undefined): value is Value =>
    value !== undefined && floats.has(inference.operand(value)?.type ?? "string");
  return layersOf(original, infer(original)).flatMap((layer): Pair[] => {
    const before = outputOf(layer);
    if (before === undefined) return [];
    const same = candidate.graph.ownValue(before.name);
    const kept = same?.producer === undefined ? undefined : same;
    const own = byName.get(layer.name);
    const after = isFloat(kept) ? kept : own === undefined ? undefined : outputOf(own);
    if (isFloat(after)) return [{ layer: layer.name, before: before.name, after: after.name }];
    const reason = after === undefined ? "the model has no such layer" : "its output is no float in the model";
    misses.push(new Miss(reason, layer.name));
    return [];
  });
}

function outputOf({ node }: Layer): Value | undefined {
  return node.graph.parent === undefined ? node.outputs[0] : undefined;
}

/** Running sums of two tensors of the same dimensions. */
class Difference {
  /** Why there is no result, if there is none. */
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
      cosine: this.#product / Math.sqrt(this.#signal * this.#otherSignal),
      maxError: this.#maxError,
    };
  }
}
