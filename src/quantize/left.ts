/** What stays in float although it holds trained numbers: reasons, for the report. */
import type { Inference } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import { describe, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/** A `Miss` for each node that holds a matrix of trained numbers and is no layer, as embeddings and recurrent layers are. */
export function leftInFloat(model: Model, inference: Inference, layers: ReadonlySet<Node>): readonly Miss[] {
  const misses: Miss[] = [];
  for (const node of model.graph.nodes()) {
    if (layers.has(node)) continue;
    const bound = inference.at(node);
    const held = bound instanceof Miss ? node.inputs.map((_, input) => input) : bound.parameters();
    if (held.some((input) => isMatrix(node.inputs[input], inference))) {
      const weight = bound instanceof Miss ? bound : bound.weight();
      misses.push(new Miss(weight instanceof Miss ? weight.reason : "is no layer", describe(node)));
    } else if (hasMatrices(node, inference)) misses.push(new Miss("layers inside subgraphs stay", describe(node)));
  }
  return misses;
}

function hasMatrices(node: Node, inference: Inference): boolean {
  return [...subgraphs(node)].some(
    (graph) =>
      [...graph.values()].some((value) => isMatrix(value, inference)) ||
      [...graph.nodes()].some(
        (inner) => inner.inputs.some((value) => isMatrix(value, inference)) || hasMatrices(inner, inference),
      ),
  );
}

/** Vectors (biases, factors of a normalization) are too small to matter. */
function isMatrix(value: Value | undefined, inference: Inference): boolean {
  const operand = value === undefined ? undefined : inference.operand(value);
  return operand?.stored === true && /^b?float(16|32|64)?$/.test(operand.type) && (operand.dims?.length ?? 0) >= 2;
}
