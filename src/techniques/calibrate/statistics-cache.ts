/** Caches statistics of a model's values, because a search for layers at higher precision quantizes the same model many times. */
import { type Dataset, isIndexed } from "#batches";
import { allTensors, type Graph, type Model, objectId, structureHash, type Tensor } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { tensorHash } from "../../rewrite/clean-up/merge-initializers.ts";
import type { ObserveOptions } from "../../runtime/run/run-over-samples.ts";
import { observe } from "./observe.ts";
import type { Place, Statistic } from "./statistic.ts";

type Cache = Map<string, unknown>;

/** Maximum number of cached models per data set and setting: the model to quantize, and the same model after equalization. */
const maxModels = 2;

/** Statistics by value name, per model hash, setting and data set. */
const caches = new WeakMap<Dataset, Map<string, Map<string, Cache>>>();

/** Measures the statistics that are not cached. A stream has other samples each time. @param setting identifies what else they depend on. */
export async function measureOnce<R>(
  model: Model,
  dataset: Dataset,
  setting: string,
  names: readonly string[],
  measure: (missing: readonly string[]) => Promise<ReadonlyMap<string, R>>,
): Promise<ReadonlyMap<string, R>> {
  if (!isIndexed(dataset)) return measure(names);
  const cache = openCache(dataset, setting, await hashOf(model));
  const missingNames = names.filter((name) => !cache.has(name));
  if (missingNames.length > 0) for (const [name, statistic] of await measure(missingNames)) cache.set(name, statistic);
  return new Map(names.flatMap((name) => (cache.has(name) ? [[name, cache.get(name) as R]] : [])));
}

interface CachedSamples {
  readonly dataset: Dataset;
  readonly setting: string;
}

/** Like `observe`, but runs the model only for places whose statistics are not cached. */
export async function observeOnce<R>(
  engine: Engine,
  model: Model,
  { dataset, setting }: CachedSamples,
  places: readonly Place[],
  statistic: Statistic<R> | ((name: string) => Statistic<R>),
  options: ObserveOptions,
): Promise<ReadonlyMap<string, R>> {
  const keyOf = ({ name, axis }: Place): string => JSON.stringify([name, axis]);
  const keys = new Map(places.map((place) => [place.name, keyOf(place)]));
  const renameResults = (results: ReadonlyMap<string, R>, names: ReadonlyMap<string, string>) =>
    new Map(Array.from(results, ([name, result]) => [names.get(name) ?? name, result]));
  const statistics = await measureOnce(model, dataset, setting, [...keys.values()], async (missing) => {
    const missingPlaces = places.filter((place) => missing.includes(keyOf(place)));
    return renameResults(await observe(engine, model, dataset, missingPlaces, statistic, options), keys);
  });
  return renameResults(statistics, new Map(Array.from(keys, ([name, key]) => [key, name])));
}

const hashes = new WeakMap<Graph, { readonly revision: number; readonly hash: string }>();
const contents = new WeakMap<Tensor, string>();

/** Hashes new tensors by their elements: each attempt folds constants into new tensors with equal elements. */
async function hashOf(model: Model): Promise<string> {
  const { revision } = model.graph;
  const previous = hashes.get(model.graph);
  if (previous?.revision === revision) return previous.hash;
  for (const tensor of allTensors(model.graph)) {
    if (tensor.stored === undefined && !contents.has(tensor)) contents.set(tensor, await tensorHash(tensor));
  }
  const hash = structureHash(model, (tensor) => contents.get(tensor) ?? objectId(tensor));
  hashes.set(model.graph, { revision, hash });
  return hash;
}

function openCache(dataset: Dataset, setting: string, model: string): Cache {
  const settings = caches.get(dataset) ?? new Map<string, Map<string, Cache>>();
  caches.set(dataset, settings);
  const models = settings.get(setting) ?? new Map<string, Cache>();
  settings.set(setting, models);
  const cache = models.get(model) ?? new Map<string, unknown>();
  // Moves the model to the end, so that the first one is the least recently used.
  models.delete(model);
  models.set(model, cache);
  const [oldest] = models.keys();
  if (models.size > maxModels && oldest !== undefined) models.delete(oldest);
  return cache;
}
