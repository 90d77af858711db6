/** What holds trained numbers and is no layer: the reasons, for outcomes, so that a model in which little is found does not look done. */
import { Miss } from "../errors.ts";
import { allNodes, describe, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { noWeight } from "../ops/shared/misses.ts";
import { isFloat } from "../tensor/convert.ts";
import { wayOutOf } from "./branches.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layerAt } from "./layers.ts";

/**
 * A `Miss` for each node that holds a matrix of trained numbers and is no layer: embeddings, recurrent layers, operators without entry,
 * subgraphs. One for the model if that leaves it without any reason.
 * @param inside `layers` are those of graphs inside nodes, too: then these are looked into.
 * @param otherwise what changes those inside, where this does not.
 */
export function noLayers(
  model: Model,
  inference: Inference,
  layers: readonly Layer[],
  inside = false,
  otherwise?: string,
): readonly Miss[] {
  const known = new Set(layers.map(({ node }) => node));
  const misses: Miss[] = [];
  for (const node of inside ? allNodes(model.graph) : model.graph.nodes()) {
    if (known.has(node)) continue;
    const bound = inference.at(node);
    const held = bound instanceof Miss ? node.inputs.map((_, input) => input) : bound.parameters();
    if (held.some((input) => isMatrix(node.inputs[input], inference))) {
      const layer = layerAt(node, inference);
      // A table of positions that is added, a scale in two axes: no layer is expected there.
      if (layer !== noWeight)
        misses.push(new Miss(layer instanceof Miss ? layer.reason : "is not a layer", describe(node)));
    }
  }
  if (!inside) misses.push(...layersInside(model, inference, otherwise));
  return layers.length > 0 || misses.length > 0 ? misses : [new Miss("the model has no layers with a weight")];
}

/** A `Miss` for each node of the main graph with matrices of trained numbers in graphs inside it. */
export function layersInside(model: Model, inference: Inference, otherwise?: string): readonly Miss[] {
  return [...model.graph.nodes()]
    .filter((node) => hasMatrices(node, inference))
    .map((node) => {
      const wayOut = wayOutOf(node, inference);
      const inlined = wayOut === undefined ? [] : [`run ${wayOut} first, which inlines the branch that is taken`];
      const advice = [...inlined, ...(otherwise === undefined ? [] : [otherwise])].join(", or ");
      const what = "layers inside subgraphs are not changed";
      return new Miss(advice === "" ? what : `${what}: ${advice}`, describe(node));
    });
}

function hasMatrices(node: Node, inference: Inference): boolean {
  return subgraphs(node).some(
    (graph) =>
      [...graph.values()].some((value) => isMatrix(value, inference)) ||
      [...graph.nodes()].some(
        (inner) => inner.inputs.some((value) => isMatrix(value, inference)) || hasMatrices(inner, inference),
      ),
  );
}

/** Vectors (biases, also as [1, 10] or [8, 1, 1], and factors of a normalization) are too small to matter. */
function isMatrix(value: Value | undefined, inference: Inference): boolean {
  const operand = value === undefined ? undefined : inference.operand(value);
  if (operand?.stored !== true || !isFloat(operand.type)) return false;
  return (operand.dims ?? []).filter((dim) => dim !== 1).length >= 2;
}
