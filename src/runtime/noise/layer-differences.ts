/** Signal to noise at the output of each layer: of values with the same name in both models, because passes can fuse or split layers. */
import { counterpartsAmong, type Inference, infer, type Layer, layers as layersOf, receivedValues } from "#analysis";
import { type DataType, elementCount, fixedDims, Miss, type Model, nodeName, type Value } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { type ObserveOptions, runOverSamples, type Samples } from "../run/run-over-samples.ts";
import type { ExchangePoint } from "./exchange.ts";
import { OutputNoise } from "./output-noise.ts";

export interface LayerDifference {
  readonly layer: string;
  /** In decibels; infinite if nothing changed. */
  readonly signalToNoise: number;
}

type CompareOptions = ObserveOptions & { readonly candidateEngine?: Engine };

const floats: ReadonlySet<DataType> = new Set<DataType>(["float32", "float16", "float64"]);

/** Decibels below which a layer's output is considered wrong. */
export const minDecibels = 10;

/** Compares the output of each layer with the original's. @throws PithError E_DATA if the data does not fit or is empty, E_STOPPED on the signal. */
export async function compareLayers(
  engine: Engine,
  original: Model,
  candidate: Model,
  samples: Samples,
  options: CompareOptions = {},
): Promise<{ readonly layers: readonly LayerDifference[]; readonly misses: readonly Miss[] }> {
  const misses: Miss[] = [];
  const places = valuePairs(original, candidate, misses).filter(({ kind }) => kind === "layer");
  const differences = await measureDifferences(engine, [original, candidate], places, samples, options, misses);
  return { layers: differences.map(({ place: { layer }, signalToNoise }) => ({ layer, signalToNoise })), misses };
}

export interface ValuePair extends ExchangePoint {
  readonly layer: string;
  readonly kind: "layer" | "operation" | "output";
  readonly operator: string;
  readonly order: number;
  /** Approximate multiply-accumulates per output element. */
  readonly fan: number;
}

export async function measureDifferences(
  engine: Engine,
  [original, candidate]: readonly [Model, Model],
  places: readonly ValuePair[],
  samples: Samples,
  { candidateEngine = engine, ...options }: CompareOptions,
  misses: Miss[],
): Promise<readonly { readonly place: ValuePair; readonly signalToNoise: number }[]> {
  if (places.length === 0) return [];
  const comparedPlaces = places.map((place) => ({ place, noise: new OutputNoise(original) }));
  const namesOf = (side: keyof ExchangePoint) => [...new Set(places.map((place) => place[side][0] ?? ""))];
  const models = [
    { model: original, observed: namesOf("before") },
    { model: candidate, observed: namesOf("after"), engine: candidateEngine },
  ];
  await runOverSamples(engine, models, samples, { batch: 4, ...options }, ([first = {}, second = {}]) => {
    for (const { place, noise } of comparedPlaces) {
      const [[name = ""], [other = ""]] = [place.before, place.after];
      noise.addValue(name, first[name], second[other]);
    }
  });
  return comparedPlaces.flatMap(({ place, noise }) => {
    // The worst part of a model output counts.
    const { mismatch, signalToNoise } = noise.worst;
    if (mismatch === undefined) return [{ place, signalToNoise }];
    misses.push(new Miss(mismatch, place.layer));
    return [];
  });
}

/** Nodes that a layer can be split into or fused with: scales, casts, a bias, normalization, an activation. */
const maxNodesAfter = 8;

/** Returns the values at which both models can be compared, in graph order. Adds layers without such values to `misses`. */
export function valuePairs(original: Model, candidate: Model, misses: Miss[]): readonly ValuePair[] {
  const [before, after] = [infer(original), infer(candidate)];
  const counterparts = counterpartsAmong(layersOf(candidate, after));
  const nodes = [...original.graph.nodes()];
  const order = new Map(nodes.map((node, index) => [node, index]));
  const afterLayers = layersOf(original, before).flatMap((layer): ValuePair[] => {
    const pairs = counterparts(layer).map((counterpart) => pairOf(layer, counterpart, before, after));
    const firstPair = pairs[0] ?? new Miss("the model has no such layer", layer.name);
    const pair = pairs.find((candidatePair) => !(candidatePair instanceof Miss)) ?? firstPair;
    if (pair instanceof Miss) {
      misses.push(pair);
      return [];
    }
    const { name, node, role, effective, outputs } = layer;
    const fan = role.kind === "lookup" ? 0 : elementCount(fixedDims(effective.type?.dims) ?? []) / outputs;
    return [{ ...pair, layer: name, kind: "layer", operator: node.op, order: order.get(node) ?? 0, fan }];
  });
  const knownNames = new Set(afterLayers.flatMap((place) => place.before));
  const otherPlaces = nodes.flatMap((node, at) =>
    node.outputs.flatMap((value): ValuePair[] => {
      const other = value === undefined ? undefined : candidate.graph.value(value.name);
      if (value === undefined || other === undefined || other.tensor !== undefined) return [];
      const point = exchangePoint(value, other, before, after);
      if (point === undefined || point.before.length * point.after.length === 0) return [];
      const isOutput = original.graph.isOutput(value);
      if (point.before.some((name) => knownNames.has(name)) || (!isOutput && point.after[0] === other.name)) return [];
      const kind = isOutput ? "output" : "operation";
      return [{ ...point, layer: isOutput ? value.name : nodeName(node), kind, operator: node.op, order: at, fan: 0 }];
    }),
  );
  return [...afterLayers, ...otherPlaces].toSorted((a, b) => a.order - b.order);
}

/** Returns the values that readers of two float values see, such as their quantized form. */
function exchangePoint(value: Value, other: Value, before: Inference, after: Inference): ExchangePoint | undefined {
  const types = [before.operand(value)?.type, after.operand(other)?.type];
  if (!types.every((type) => floats.has(type ?? "string"))) return undefined;
  const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
  return { before: names(receivedValues(value, before)), after: names(receivedValues(other, after)) };
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
  let next: readonly (Value | undefined)[] = node.graph.parent === undefined ? node.outputs.slice(0, 1) : [];
  for (let step = 0; step <= maxNodesAfter && next.length > 0; step++) {
    const [value, ...moreValues] = next.flatMap((output) => output ?? []);
    for (const output of next) if (output !== undefined) values.set(output.name, output);
    const [reader, ...moreReaders] = new Set(Array.from(value?.uses ?? [], (use) => use.node));
    next = moreValues.length === 0 && moreReaders.length === 0 ? (reader?.outputs ?? []) : [];
  }
  return values;
}
