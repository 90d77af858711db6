/**
 * Keeps statistics of a model's values, because a search for layers at higher precision quantizes the same model many times. Statistics hold for
 * one model, one data set and one seed, and do not depend on which layers are quantized.
 */
import { isIndexed } from "../data/indexed.ts";
import type { Dataset } from "../data/types.ts";
import { structureHash } from "../graph/hash.ts";
import type { Model } from "../graph/model.ts";

type Kept = Map<string, unknown>;

/** Models per data set and setting: the one to quantize, and one that a transformation has changed. */
const mostModels = 2;

/** Values by name, per model and setting. */
const keptOn = new WeakMap<Dataset, Map<string, Map<string, Kept>>>();

/**
 * Measures the values of a model that are not known yet. A stream gives other samples each time, so its statistics are not kept.
 * @param setting everything else that determines the statistics.
 */
export async function measuredOnce<R>(
  model: Model,
  dataset: Dataset,
  setting: string,
  names: readonly string[],
  measure: (missing: readonly string[]) => Promise<ReadonlyMap<string, R>>,
): Promise<ReadonlyMap<string, R>> {
  if (!isIndexed(dataset)) return measure(names);
  const kept = keptFor(dataset, setting, structureHash(model));
  const missing = names.filter((name) => !kept.has(name));
  if (missing.length > 0) for (const [name, found] of await measure(missing)) kept.set(name, found);
  return new Map(names.flatMap((name) => (kept.has(name) ? [[name, kept.get(name) as R]] : [])));
}

function keptFor(dataset: Dataset, setting: string, model: string): Kept {
  const settings = keptOn.get(dataset) ?? new Map<string, Map<string, Kept>>();
  keptOn.set(dataset, settings);
  const models = settings.get(setting) ?? new Map<string, Kept>();
  settings.set(setting, models);
  const kept = models.get(model) ?? new Map<string, unknown>();
  // The latest model is the last.
  models.delete(model);
  models.set(model, kept);
  const [oldest] = models.keys();
  if (models.size > mostModels && oldest !== undefined) models.delete(oldest);
  return kept;
}
