import { counterpartsAmong, infer, type Layer, layers as layersOf } from "#analysis";
import { asPithError, elementCount, fixedDims, Miss, type Model, throwIfAborted, toFloat64 } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { fuseBatchNorm } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { readWeight, type WeightNumbers } from "../../rewrite/edit/weight-numbers.ts";
import { Difference } from "../run/difference.ts";

/** Returns each layer's weight signal to noise in decibels. Skips weights without a counterpart. */
export async function weightErrors(
  engine: Engine,
  original: Model,
  candidate: Model,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const before = original.clone();
  storeWeights(before);
  const foldedModel = before.clone();
  await fuseBatchNorm(foldedModel, {}, { engine });
  const numbersOf = counterpartNumbers(candidate, engine);
  const foldedLayers = new Map(layersOf(foldedModel, infer(foldedModel)).map((layer) => [layer.name, layer]));
  const errorsByLayer = new Map<string, number>();
  for (const layer of layersOf(before, infer(before))) {
    throwIfAborted(signal, "Stopped while weights were compared.");
    if (errorsByLayer.has(layer.name)) continue;
    try {
      const numbers = await numbersOf(layer);
      if (numbers === undefined) continue;
      const decibelsIn = async (model: Model, { effective }: Layer): Promise<number> => {
        const error = new Difference();
        const values = toFloat64(await readStoredValue(model, effective, engine));
        for (const [index, value] of values.entries()) error.add(value, numbers[index] ?? 0);
        return error.signalToNoise;
      };
      const other = foldedLayers.get(layer.name);
      const isFolded = other !== undefined && other.weight.tensor !== layer.weight.tensor;
      const decibels = await decibelsIn(before, layer);
      errorsByLayer.set(layer.name, isFolded ? Math.max(decibels, await decibelsIn(foldedModel, other)) : decibels);
    } catch (error) {
      // Weights can be computed by operators that this runtime lacks.
      asPithError(error);
    }
  }
  return errorsByLayer;
}

/** Returns a function that reads a layer's weight in a changed model in the layer's own order. */
export function counterpartNumbers(candidate: Model, engine: Engine) {
  const model = candidate.clone();
  storeWeights(model);
  const counterparts = counterpartsAmong(layersOf(model, infer(model)));
  return async (layer: Layer): Promise<WeightNumbers["values"] | undefined> => {
    const { role, effective } = layer;
    const counterpart = counterparts(layer).find((layerPart) => layerPart.role.kind === role.kind);
    const [rows = 1, columns = 1, ...rest] = fixedDims(effective.type?.dims) ?? [];
    const isTransposed = counterpart?.role.out !== role.out;
    if (counterpart === undefined || (isTransposed && rest.length > 0)) return undefined;
    const read = await readWeight(model, counterpart, engine);
    if (read instanceof Miss || read.values.length !== elementCount([rows, columns, ...rest])) return undefined;
    const { values } = read;
    return isTransposed
      ? values.map((_, index) => values[(index % columns) * rows + Math.floor(index / columns)] ?? 0)
      : values;
  };
}
