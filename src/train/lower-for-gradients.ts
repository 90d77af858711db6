/** What has no gradient of its own, or a longer one than its primitives, in its primitives. */
import { type Inference, infer } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Model } from "../graph/model.ts";
import { replaceNode } from "../graph/replace.ts";
import { entryOf } from "../ops/index.ts";
import { straightThroughAt } from "./straight-through.ts";

/** Replaces nodes by their primitives, until there are none: all but those whose own gradient is the shorter one. */
export function lowerForGradients(model: Model): Inference {
  const inference = infer(model);
  const { graph } = model;
  for (const node of graph.nodes()) {
    const bound = inference.at(node);
    if (bound instanceof Miss || straightThroughAt(node) !== undefined) continue;
    if (entryOf(node)?.differentiatedWhole === true) continue;
    const emit = emitInto(model, { before: node, by: "lower", onNode: inference.visit });
    const lowered = bound.lower(emit, node.inputs);
    if (lowered instanceof Miss) continue;
    replaceNode(node, lowered);
  }
  return inference;
}
