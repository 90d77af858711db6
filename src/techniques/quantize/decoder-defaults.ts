/**
 * Defaults of 4-bit weights of language models (measured in docs/quantization.md): zero points, scales of least squared error, and 8 bits for
 * the layer that scores tokens. Scales in float16 save bytes, which pay for 8 bits in the layers whose error costs most per byte.
 */
import { allLayers, infer, isInSubgraph, type Layer } from "#analysis";
import { elementCount, isFloat, type Model, subgraphs, toFloat32, type Value } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import { blockShape, hasLattice } from "./formats/weight-blocks.ts";
import type { FlatOptions } from "./options.ts";
import { weightMiss } from "./quantizable.ts";
import { mse, outputMse } from "./rounders/mse.ts";
import { areIntegers, type RoundedSettings } from "./settings.ts";

/** Maximum growth of the weights by 8 bits for the layer that scores tokens. */
const maxGrowth = 0.15;
/** In order of preference: 8 bits resolve larger blocks as well. */
const blockSizes = [64, 32, 16] as const;
const defaultBlock = 32;

type Overrides = NonNullable<RoundedSettings["overrides"]>;

/** @param options the options as given, which decide what is a default. */
export async function withDecoderDefaults<S extends RoundedSettings>(
  settings: S,
  options: FlatOptions,
  model: Model,
  engine: Engine,
): Promise<S> {
  if (settings.scheme !== "weights" || settings.bits !== 4 || !areIntegers(settings) || settings.onnxOnly)
    return settings;
  if (decoderOf(model) === undefined) return settings;
  const solver = settings.data === undefined ? { rounder: mse.id } : { rounder: outputMse, equalize: false };
  const all = allLayers(model, infer(model)).filter((layer) => weightMiss(layer) === undefined);
  const tables = all.filter(({ role }) => role.kind === "lookup");
  const heads = all.filter(
    ({ role, inputs, outputs }) =>
      role.kind !== "lookup" && tables.some((table) => table.inputs === outputs && table.outputs === inputs),
  );
  const outer = new Set([...tables, ...heads].map(({ weight }) => weight));
  const block = settings.block ?? defaultBlock;
  const peaks = new Map<Layer, number>();
  for (const layer of uniqueWeights(all)) {
    if (outer.has(layer.weight) || isInSubgraph(layer) || layer.effective.type?.dims?.length !== 2) continue;
    const weight = await readStoredValue(model, layer.effective, engine);
    if (!hasLattice(layer, weight, { size: block, bits: 4 })) peaks.set(layer, peakOf(toFloat32(weight)));
  }
  return {
    ...settings,
    ...(options.rounder === undefined ? { zeroPoints: options.zeroPoints ?? true, ...solver } : {}),
    halfScales: true,
    overrides: {
      ...headOverrides(all, heads, options.block),
      ...sensitiveOverrides(model, peaks, block),
      ...settings.overrides,
    },
  };
}

/** Returns the largest magnitude, in root mean squares. */
function peakOf(values: Float32Array): number {
  let [largest, squares] = [0, 0];
  for (const value of values) {
    largest = Math.max(largest, Math.abs(value));
    squares += value * value;
  }
  return largest / Math.sqrt(squares / values.length) || 0;
}

const uniqueWeights = (layers: readonly Layer[]): readonly Layer[] => [
  ...new Map(layers.map((layer) => [layer.weight, layer])).values(),
];

/** Returns the largest block size that divides the inputs of all layers. */
const blockSizeOf = (layers: readonly Layer[]): (typeof blockSizes)[number] | undefined =>
  blockSizes.find((size) => layers.every(({ inputs }) => inputs % size === 0));

/** Returns the bytes of weights in blocks, with packed zero points. */
const bytesOf = (layers: readonly Layer[], bits: 4 | 8, block: number, scaleBytes: 2 | 4): number =>
  layers.reduce((sum, layer) => {
    const { rows, count } = blockShape(layer, block);
    return sum + rows * (count * ((block * bits) / 8 + scaleBytes) + Math.ceil((count * bits) / 8));
  }, 0);

/** Returns 8 bits for the token scorer and a table that shares its weight, if the weights grow little. */
function headOverrides(
  all: readonly Layer[],
  heads: readonly Layer[],
  requestedBlock: FlatOptions["block"],
): Overrides {
  const block = requestedBlock ?? blockSizeOf(heads);
  const headWeights = uniqueWeights(heads);
  if (block === undefined) return {};
  const growth = bytesOf(headWeights, 8, block, 4) - bytesOf(headWeights, 4, defaultBlock, 4);
  if (growth > bytesOf(uniqueWeights(all), 4, defaultBlock, 4) * maxGrowth) return {};
  const sharingLayers = all.filter(({ weight }) => headWeights.some((head) => head.weight === weight));
  return Object.fromEntries(sharingLayers.map(({ name }) => [name, { bits: 8, block }]));
}

/** Returns 8 bits for the layers that cost most per byte, within the bytes that float16 scales save. @param peaks in root mean squares. */
function sensitiveOverrides(model: Model, peaks: ReadonlyMap<Layer, number>, block: number): Overrides {
  const layers = [...peaks.keys()];
  let budget = bytesOf(layers, 4, block, 4) - bytesOf(layers, 4, block, 2);
  const cached = findCacheLayers(model, layers);
  const lastCached = layers.findLastIndex((layer) => cached.has(layer));
  const candidates = layers.flatMap((layer, index) => {
    const size = blockSizeOf([layer]);
    if (size === undefined) return [];
    const growth = bytesOf([layer], 8, size, 2) - bytesOf([layer], 4, block, 2);
    const error = cached.has(layer) ? 2 : errorOf(layer, peaks.get(layer) ?? 0, lastCached >= 0 && index > lastCached);
    return { name: layer.name, size, growth, cost: error / growth };
  });
  const overrides: Record<string, Overrides[string]> = {};
  for (const { name, size, growth } of candidates.toSorted((a, b) => b.cost - a.cost)) {
    if (growth > budget) continue;
    budget -= growth;
    overrides[name] = { bits: 8, block: size };
  }
  return overrides;
}

/** Largest magnitude in a usual weight, in root mean squares. */
const usualPeak = 15;

/**
 * Estimates the error by 4 bits in a layer, in units of that of a projection of queries (measured on SmolLM2-135M). Few large weights of the
 * last layer of a block make massive activations (Yu et al. 2024, arXiv 2411.07191).
 */
function errorOf({ inputs, outputs }: Layer, peak: number, isInLastBlock: boolean): number {
  if (inputs === outputs) return 1;
  return (isInLastBlock ? 5 : 1) * (inputs < outputs ? 1 : (peak / usualPeak) ** 3);
}

/** Returns the layers that compute the keys and values of a cache. Attention in one node also reads queries, which are often wider. */
function findCacheLayers(model: Model, layers: readonly Layer[]): ReadonlySet<Layer> {
  const names = new Set(decoderOf(model)?.caches.map(({ output }) => output));
  const caches = model.graph.outputs.filter(({ name }) => names.has(name));
  const widths = new Set(
    caches.map(({ type }) => elementCount((type?.dims ?? []).filter((dim) => typeof dim === "number"))),
  );
  const layersByNode = new Map(layers.map((layer) => [layer.node, layer]));
  const reachedValues = new Set<Value>(caches);
  const cacheLayers = new Set<Layer>();
  // A set also yields the values that are added while it is read.
  for (const value of reachedValues) {
    const { producer, type } = value;
    // Integers are shapes and positions.
    if (producer === undefined || (type !== undefined && !isFloat(type.type))) continue;
    const index = producer.outputs.indexOf(value);
    const layer = layersByNode.get(producer);
    if (layer !== undefined) {
      if (widths.has(layer.outputs)) cacheLayers.add(layer);
      continue;
    }
    for (const input of [...producer.inputs, ...subgraphs(producer).map(({ outputs }) => outputs[index])])
      if (input !== undefined) reachedValues.add(input);
  }
  return cacheLayers;
}
