/** Whether training left the stored tensors of a model as they were. */
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";

/** All stored tensors of a model, by their values. */
export function tensorsOf({ graph }: Model): ReadonlyMap<Value, Tensor> {
  return new Map([...graph.values()].flatMap((value) => (value.tensor === undefined ? [] : [[value, value.tensor]])));
}

/** Whether the values still hold the same numbers; they do not if a resumed training was given a model that was trained further. */
export async function isAsGiven(given: ReadonlyMap<Value, Tensor>): Promise<boolean> {
  for (const [{ tensor: now }, before] of given) {
    if (now === before || now === undefined) continue;
    const [numbers, others] = [await before.read(), await now.read()];
    if (!numbers.data.every((number: unknown, at: number) => Object.is(number, others.data[at]))) return false;
  }
  return true;
}
