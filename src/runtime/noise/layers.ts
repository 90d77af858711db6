/**
 * Signal to noise at the output of every layer, relative to the original on the same samples.
 *
 * The compared values have the same name in both models, at the layer or shortly after it, because passes can fuse or split layers. A quantized
 * activation is compared after its quantization, as its consumers read it. Layers without such a float value of the same shape become misses.
 */

import type { Inference, Layer } from "#analysis";
import { counterpartsAmong, infer, layers as layersOf, valuesAsRead } from "#analysis";
import { type DataType, elementCount, fixedDims, Miss, type Model, nodeName, type Value } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { type ObserveOptions, overSamples, type Samples } from "../run/over-samples.ts";
import type { ExchangePoint } from "./exchange.ts";
import { OutputNoise } from "./output-noise.ts";

export interface LayerDifference {
  readonly layer: string;
  /** In decibels; infinite if nothing changed. */
  readonly signalToNoise: number;
}

export interface LayerComparison {
  readonly layers: readonly LayerDifference[];
  readonly misses: readonly Miss[];
}

const floats: ReadonlySet<DataType> = new Set<DataType>(["float32", "float16", "float64"]);

/**
 * Compares the output of every layer with the original's, over the samples of a data set, without graph optimization. Memory: all layers' outputs for
 * one batch of each model (default 4 samples).
 * @throws PithError E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 */
export async function compareLayers(
  engine: Engine,
  original: Model,
  candidate: Model,
  samples: Samples,
  { candidateEngine = engine, ...options }: ObserveOptions & { readonly candidateEngine?: Engine } = {},
): Promise<LayerComparison> {
  const misses: Miss[] = [];
  const places = layerPlaces(original, candidate, misses);
  const models = [
    { model: original, engine },
    { model: candidate, engine: candidateEngine },
  ] as const;
  const differences = await measureDifferences(...models, places, samples, options, misses);
  return { layers: differences.map(({ place, ...sums }) => ({ layer: place.layer, ...sums })), misses };
}

/** Decibels below which a layer's output is considered wrong. */
export const minDecibels = 10;

export interface Place extends ExchangePoint {
  readonly layer: string;
  readonly kind: "layer" | "operation" | "output";
  readonly operator: string;
  readonly at: number;
  /** Approximate multiply-accumulates per output element. */
  readonly fan: number;
}

interface ModelOnEngine {
  readonly model: Model;
  readonly engine: Engine;
}

export async function measureDifferences(
  original: ModelOnEngine,
  candidate: ModelOnEngine,
  places: readonly Place[],
  samples: Samples,
  options: ObserveOptions,
  misses: Miss[],
): Promise<readonly (Omit<LayerDifference, "layer"> & { readonly place: Place })[]> {
  if (places.length === 0) return [];
  const pairs = places.flatMap((place) => {
    const [[before], [after]] = [place.before, place.after];
    if (before === undefined || after === undefined) return [];
    return [{ place, before, after, noise: new OutputNoise(original.model) }];
  });
  const models = [
    { ...original, observed: [...new Set(pairs.map(({ before }) => before))] },
    { ...candidate, observed: [...new Set(pairs.map(({ after }) => after))] },
  ];
  await overSamples(original.engine, models, samples, { batch: 4, ...options }, ([first = {}, second = {}]) => {
    for (const { noise, before, after } of pairs) {
      const [reference, other] = [first[before], second[after]];
      if (reference !== undefined && other !== undefined) noise.add({ [before]: reference }, { [before]: other });
    }
  });
  return pairs.flatMap(({ place, noise }) => {
    // The worst part of a model output counts.
    const { apart, signalToNoise } = noise.worst;
    if (apart === undefined) return [{ place, signalToNoise }];
    misses.push(new Miss(apart, place.layer));
    return [];
  });
}

/** Nodes that a layer can be split into or fused with: scales, casts, a bias, normalization, an activation. */
const maxNodesAfter = 8;

/** Returns the values at which layers of both models can be compared; the other layers are added to `misses`. */
export function layerPlaces(original: Model, candidate: Model, misses: Miss[]): readonly Place[] {
  const [before, after] = [original, candidate].map((model) => infer(model)) as [Inference, Inference];
  const counterparts = counterpartsAmong(layersOf(candidate, after));
  const order = new Map([...original.graph.nodes()].map((node, index) => [node, index]));
  return layersOf(original, before).flatMap((layer): Place[] => {
    const pairs = counterparts(layer).map((counterpart) => pairOf(layer, counterpart, before, after));
    const pair =
      pairs.find((pair) => !(pair instanceof Miss)) ?? pairs[0] ?? new Miss("the model has no such layer", layer.name);
    if (pair instanceof Miss) {
      misses.push(pair);
      return [];
    }
    const { name, node, role, effective, outputs } = layer;
    const fan = role.kind === "lookup" ? 0 : elementCount(fixedDims(effective.type?.dims) ?? []) / outputs;
    return [{ ...pair, layer: name, kind: "layer", operator: node.op, at: order.get(node) ?? 0, fan }];
  });
}

/** Returns operations without a weight whose result the candidate quantizes, and model outputs, except those in `layerPlaces`. */
export function pairPlaces(original: Model, candidate: Model, layerPlaces: readonly Place[]): readonly Place[] {
  const [before, after] = [infer(original), infer(candidate)];
  const knownNames = new Set(layerPlaces.flatMap((place) => place.before));
  return [...original.graph.nodes()].flatMap((node, index) =>
    node.outputs.flatMap((value): Place[] => {
      const other = value === undefined ? undefined : candidate.graph.value(value.name);
      if (value === undefined || other === undefined || other.tensor !== undefined) return [];
      const point = exchangePoint(value, other, before, after);
      if (point === undefined || point.before.length * point.after.length === 0) return [];
      const isOutput = original.graph.isOutput(value);
      if (point.before.some((name) => knownNames.has(name)) || (!isOutput && point.after[0] === other.name)) return [];
      const kind = isOutput ? "output" : "operation";
      return [{ layer: isOutput ? value.name : nodeName(node), kind, operator: node.op, at: index, fan: 0, ...point }];
    }),
  );
}

/** Returns the values that readers of two float values see, such as their quantized form; undefined for other types. */
function exchangePoint(value: Value, other: Value, before: Inference, after: Inference): ExchangePoint | undefined {
  if (!isFloat(value, before) || !isFloat(other, after)) return undefined;
  const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
  return { before: names(valuesAsRead(value, before)), after: names(valuesAsRead(other, after)) };
}

function isFloat(value: Value, inference: Inference): boolean {
  return floats.has(inference.operand(value)?.type ?? "string");
}

function pairOf(layer: Layer, counterpart: Layer, before: Inference, after: Inference): ExchangePoint | Miss {
  const originalValues = valuesAfter(layer);
  for (const [name, value] of valuesAfter(counterpart)) {
    const same = originalValues.get(name);
    const point = same && exchangePoint(same, value, before, after);
    if (point === undefined) continue;
    return point.before.length * point.after.length === 0
      ? new Miss("the next node computes on the layer's quantized values", layer.name)
      : point;
  }
  return new Miss("none of the layer's float values has the same name in both models", layer.name);
}

/** Returns a layer's output and the values of the chain after it, nearest first. */
function valuesAfter({ node }: Layer): ReadonlyMap<string, Value> {
  const values = new Map<string, Value>();
  let next: readonly Value[] =
    node.graph.parent === undefined ? node.outputs.slice(0, 1).flatMap((value) => value ?? []) : [];
  for (let step = 0; step <= maxNodesAfter && next.length > 0; step++) {
    for (const value of next) values.set(value.name, value);
    const [value] = next;
    const readers = value === undefined ? [] : [...new Set([...value.uses].map((use) => use.node))];
    next =
      readers.length === 1 && next.length === 1 ? (readers[0]?.outputs.flatMap((output) => output ?? []) ?? []) : [];
  }
  return values;
}
