/**
 * What a model stored before it was trained, put back where nothing that was learnt is better: the very tensors, so that a file of them is the file
 * that was opened.
 */
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";

/** All stored tensors of a model, by their values. */
export function tensorsOf({ graph }: Model): ReadonlyMap<Value, Tensor> {
  return new Map([...graph.values()].flatMap((value) => (value.tensor === undefined ? [] : [[value, value.tensor]])));
}

/**
 * Puts tensors back in the place of others with the same numbers. False, and nothing is done, where one has others: who continues a training
 * may have given it a model that is further on.
 */
export async function putBack(given: ReadonlyMap<Value, Tensor>): Promise<boolean> {
  for (const [{ tensor: now }, before] of given) {
    if (now === before || now === undefined) continue;
    const [numbers, others] = [await before.read(), await now.read()];
    if (!numbers.data.every((number: unknown, at: number) => Object.is(number, others.data[at]))) return false;
  }
  for (const [value, tensor] of given) value.tensor = tensor;
  return true;
}
