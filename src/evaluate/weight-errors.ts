/** What is left of each layer's weight in a changed model: the stored numbers, dequantized, against the original's. */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { counterpartsAmong } from "../analysis/match.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss, refusalIn, stopIfAsked } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fuseBatchNorm } from "../passes/fuse-batch-norm.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { readStoredValue } from "../passes/stored.ts";
import { readWeight, type WeightNumbers } from "../passes/weight-numbers.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { Difference } from "./difference.ts";

/**
 * Signal to noise of each layer's weight in decibels, infinite where it is as it was, or as it is with the normalization behind it folded in. A layer is left out whose weight is gone, has another size, or
 * lies in a form that says nothing of its scales. Holds one weight of each model at a time.
 */
export async function weightErrors(
  engine: Engine,
  original: Model,
  candidate: Model,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const before = original.clone();
  storeWeights(before);
  const folded = before.clone();
  await fuseBatchNorm(folded, {}, { engine });
  const numbersOf = counterpartNumbers(candidate, engine);
  const ofFolded = new Map(layersOf(folded, infer(folded)).map((layer) => [layer.name, layer]));
  const found = new Map<string, number>();
  for (const layer of layersOf(before, infer(before))) {
    stopIfAsked(signal, "Stopped while weights were compared.");
    if (found.has(layer.name)) continue;
    try {
      const numbers = await numbersOf(layer);
      if (numbers === undefined) continue;
      const errors = [await errorOf(engine, before, layer, numbers)];
      const other = ofFolded.get(layer.name);
      if (other !== undefined && other.weight.tensor !== layer.weight.tensor)
        errors.push(await errorOf(engine, folded, other, numbers));
      found.set(layer.name, Math.max(...errors));
    } catch (error) {
      // A weight of operators that this runtime does not have.
      refusalIn(error);
    }
  }
  return found;
}

/**
 * The numbers that a layer's weight has in a changed model, in whatever form they are stored there, in the order of the layer's own; undefined where it has no
 * counterpart, or one of another size.
 */
export function counterpartNumbers(candidate: Model, engine: Engine) {
  const model = candidate.clone();
  storeWeights(model);
  const counterparts = counterpartsAmong(layersOf(model, infer(model)));
  return async (layer: Layer): Promise<WeightNumbers["values"] | undefined> => {
    const { role, effective } = layer;
    const own = counterparts(layer).find((one) => one.role.kind === role.kind);
    const [rows = 1, columns = 1, ...rest] = fixedDims(effective.type?.dims) ?? [];
    const isTurned = own?.role.out !== role.out;
    if (own === undefined || (isTurned && rest.length > 0)) return undefined;
    const read = await readWeight(model, own, engine);
    if (read instanceof Miss || read.values.length !== elementCount([rows, columns, ...rest])) return undefined;
    const { values } = read;
    return isTurned ? values.map((_, at) => values[(at % columns) * rows + Math.floor(at / columns)] ?? 0) : values;
  };
}

async function errorOf(
  engine: Engine,
  model: Model,
  { effective }: Layer,
  numbers: WeightNumbers["values"],
): Promise<number> {
  const error = new Difference();
  toFloat64(await readStoredValue(model, effective, engine)).forEach((value, at) => {
    error.add(value, numbers[at] ?? 0);
  });
  return error.signalToNoise;
}
