import { emitInto } from "./emit.ts";
import type { Model } from "./model.ts";

const firstWithLists = 11;

/**
 * Returns a copy with an empty sequence as its first output. onnxruntime-node copies all outputs, even those in given buffers, which takes up to a
 * tenth of a training step; it stops at an output that is not a tensor. Opsets without sequences get a plain copy.
 */
export function withListFirst(model: Model): Model {
  const copy = model.clone();
  if ((model.opsets.get("") ?? 0) < firstWithLists) return copy;
  const list = emitInto(copy, { by: "engine" }).SequenceEmpty([]);
  copy.graph.setOutputs([list, ...copy.graph.outputs]);
  return copy;
}
