/**
 * Stores the weights of an earlier training step in the model, for rewinding: tensors with the role `state` that no node reads.
 *      pith.step/fc1.weight: float32[128, 784] state
 */
import { nameBeforeMasking } from "#analysis";
import type { Model, Value } from "#ir";

const prefix = "pith.step/";

/** Stores the tensors of an earlier copy that differ from the model's, except masks. They replace tensors that were stored before. */
export function keepWeights(model: Model, copy: Model): void {
  dropKeptWeights(model);
  for (const value of [...model.graph.values()]) {
    const current = copy.graph.value(value.name)?.tensor;
    if (current === undefined || current === value.tensor || value.role?.kind === "mask") continue;
    model.graph.addTensor(`${prefix}${nameBeforeMasking(value)}`, current, { kind: "state" });
  }
}

export function keptWeights({ graph }: Model): ReadonlyMap<string, Value> {
  const stateValues = [...graph.values()].filter(({ name, role }) => name.startsWith(prefix) && role?.kind === "state");
  return new Map(stateValues.map((value) => [value.name.slice(prefix.length), value]));
}

export function takeKeptWeights(model: Model, other: Model): void {
  dropKeptWeights(model);
  for (const { name, tensor } of keptWeights(other).values())
    if (tensor !== undefined) model.graph.addTensor(name, tensor, { kind: "state" });
}

export function dropKeptWeights(model: Model): void {
  for (const value of keptWeights(model).values()) model.graph.removeValue(value);
}
