/**
 * Weights of an earlier training step, kept in the model for rewinding: unread stored tensors of the role `state`.
 *      pith.step/fc1.weight: float32[128, 784] state
 */
import { nameBeforeMasking } from "../../core/analysis/masks.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";

const prefix = "pith.step/";

/** Keeps the tensors in which a copy of the model differs, replacing those kept before; not masks. */
export function keepWeights(model: Model, copy: Model): void {
  dropKeptWeights(model);
  for (const value of [...model.graph.values()]) {
    const current = copy.graph.value(value.name)?.tensor;
    if (current === undefined || current === value.tensor || value.role?.kind === "mask") continue;
    model.graph.addTensor(`${prefix}${nameBeforeMasking(value)}`, current, { kind: "state" });
  }
}

export function keptWeights({ graph }: Model): ReadonlyMap<string, Value> {
  const kept = [...graph.values()].filter(({ name, role }) => name.startsWith(prefix) && role?.kind === "state");
  return new Map(kept.map((value) => [value.name.slice(prefix.length), value]));
}

export function takeKeptWeights(model: Model, other: Model): void {
  dropKeptWeights(model);
  for (const { name, tensor } of keptWeights(other).values())
    if (tensor !== undefined) model.graph.addTensor(name, tensor, { kind: "state" });
}

export function dropKeptWeights(model: Model): void {
  for (const value of keptWeights(model).values()) model.graph.removeValue(value);
}
