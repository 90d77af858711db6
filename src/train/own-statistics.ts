/**
 * Running statistics that are stored as one tensor with what is trained. Exporters and clean-ups store what is equal once, and in a network that
 * has learnt nothing the mean of a batch normalization equals its bias (0), the variance its scale (1). Nobody means them to be one: the mean
 * would move with the bias and take its effect back, or, as a running statistic, overwrite it. They get tensors of their own.
 */
import type { Inference } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Parted, partAlike } from "./shared-constants.ts";

/** Gives them tensors of their own, in place; what comes back says what was done. */
export function giveOwnStatistics(model: Model, inference: Inference, trained: ReadonlySet<Value>): readonly Parted[] {
  const { graph } = model;
  const parted: Parted[] = [];
  for (const node of graph.nodes()) {
    const bound = inference.at(node);
    const states = bound instanceof Miss ? [] : (bound.training()?.states ?? []);
    const reader = node.outputs[0]?.name;
    for (const input of states) {
      const before = node.inputs[input];
      const root = before === undefined ? undefined : storedAs(before, inference);
      if (reader === undefined || before === undefined || root === undefined) continue;
      if (before.role !== undefined || !trained.has(root)) continue;
      const one = { reader, input, before: before.name, stored: root.name, own: graph.freshName(before.name) };
      partAlike(model, [one]);
      parted.push(one);
    }
  }
  return parted;
}

/** The stored tensor that a value is, perhaps under another name. */
function storedAs(value: Value, inference: Inference): Value | undefined {
  const { producer } = value;
  if (producer === undefined) return value;
  const bound = inference.at(producer);
  const same = bound instanceof Miss ? undefined : bound.unchanged();
  const before = same === undefined ? undefined : producer.inputs[same];
  return before === undefined ? undefined : storedAs(before, inference);
}
