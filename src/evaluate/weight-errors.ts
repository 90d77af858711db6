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
import { readWeight } from "../passes/weight-numbers.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { fixedDims } from "../tensor/dims.ts";
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
  const [before, after] = [original.clone(), candidate.clone()];
  for (const model of [before, after]) storeWeights(model);
  const folded = before.clone();
  await fuseBatchNorm(folded, {}, { engine });
  const layers = layersOf(after, infer(after));
  const counterparts = counterpartsAmong(layers);
  const ofFolded = new Map(layersOf(folded, infer(folded)).map((layer) => [layer.name, layer]));
  const found = new Map<string, number>();
  for (const layer of layersOf(before, infer(before))) {
    stopIfAsked(signal, "Stopped while weights were compared.");
    const own = counterparts(layer).find(({ role }) => role.kind === layer.role.kind);
    if (own === undefined || found.has(layer.name)) continue;
    try {
      const read = await readWeight(after, own, engine);
      if (read instanceof Miss) continue;
      const numbers = { out: own.role.out, data: read.values };
      const errors = [await errorOf(engine, before, layer, numbers)];
      const other = ofFolded.get(layer.name);
      if (other !== undefined && other.weight.tensor !== layer.weight.tensor)
        errors.push(await errorOf(engine, folded, other, numbers));
      const known = errors.filter((error) => error !== undefined);
      if (known.length > 0) found.set(layer.name, Math.max(...known));
    } catch (error) {
      // A weight of operators that this runtime does not have.
      refusalIn(error);
    }
  }
  return found;
}

interface Numbers {
  /** The axis of the outputs. */
  readonly out: number;
  readonly data: Float32Array | Float64Array;
}

/** @param out the axis of the outputs, which products in place of a layer may have at another place. */
async function errorOf(
  engine: Engine,
  model: Model,
  { effective, role }: Layer,
  { out, data }: Numbers,
): Promise<number | undefined> {
  const numbers = toFloat64(await readStoredValue(model, effective, engine));
  if (numbers.length !== data.length) return undefined;
  const [rows = 1, columns = 1, ...rest] = fixedDims(effective.type?.dims) ?? [];
  const isTurned = out !== role.out && rest.length === 0;
  const error = new Difference();
  for (const [at, value] of numbers.entries()) {
    const place = isTurned ? (at % columns) * rows + Math.floor(at / columns) : at;
    error.add(value, data[place] ?? 0);
  }
  return error.signalToNoise;
}
