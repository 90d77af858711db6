/** A model whose first output the native runtime's JavaScript interface cannot hand over. */
import { emitInto } from "./emit.ts";
import type { Model } from "./model.ts";

const firstWithLists = 11;

/**
 * A copy of a model with an empty list as its first output. The interface copies all outputs into arrays of its own once a run is through, also those
 * that were computed in buffers given to it, which takes as long as a tenth of a training step; at an output that is no tensor it stops. Models of operator sets without lists are copied as they are.
 */
export function withListFirst(model: Model): Model {
  const copy = model.clone();
  if ((model.opsets.get("") ?? 0) < firstWithLists) return copy;
  const list = emitInto(copy, { by: "engine" }).SequenceEmpty([]);
  copy.graph.setOutputs([list, ...copy.graph.outputs]);
  return copy;
}
