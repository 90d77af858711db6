/** Lists nodes that contain trained matrices but are not layers. */
import { allNodes, isFloat, Miss, type Model, type Node, nodeText, subgraphs, type Value } from "#graph";
import { noWeight } from "../ops/shared/misses.ts";
import { branchAdvice } from "./branch-advice.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layerAt } from "./layers.ts";

/**
 * Returns a `Miss` for each node with a trained matrix that is not a layer. A model without layers gets at least one.
 * @param inside Whether `layers` includes layers in subgraphs.
 * @param otherwise Advice to use a technique that also changes layers in subgraphs.
 */
export function unsupportedWeights(
  model: Model,
  inference: Inference,
  layers: readonly Layer[],
  inside = false,
  otherwise?: string,
): readonly Miss[] {
  const layerNodes = new Set(layers.map(({ node }) => node));
  const misses: Miss[] = [];
  for (const node of inside ? allNodes(model.graph) : model.graph.nodes()) {
    if (layerNodes.has(node)) continue;
    const bound = inference.at(node);
    const parameters = bound instanceof Miss ? node.inputs.map((_, input) => input) : bound.parameters();
    if (parameters.some((input) => isMatrix(node.inputs[input], inference))) {
      const layer = layerAt(node, inference);
      // Position tables and two-axis scales are not expected to be layers.
      if (layer !== noWeight)
        misses.push(new Miss(layer instanceof Miss ? layer.reason : "is not a layer", nodeText(node)));
    }
  }
  if (!inside) misses.push(...missesInSubgraphs(model, inference, otherwise));
  return layers.length > 0 || misses.length > 0 ? misses : [new Miss("the model has no layers with a weight")];
}

/** Returns a `Miss` for each node whose subgraphs contain trained matrices or layers. */
function missesInSubgraphs(model: Model, inference: Inference, otherwise?: string): readonly Miss[] {
  return [...model.graph.nodes()]
    .filter((node) => hasMatrices(node, inference))
    .map((node) => {
      const command = branchAdvice(node, inference);
      const commandAdvice =
        command === undefined ? [] : [`run ${command} first, which inlines the branch that is taken`];
      const advice = [...commandAdvice, ...(otherwise === undefined ? [] : [otherwise])].join(", or ");
      const message = "layers inside subgraphs are not changed";
      return new Miss(advice === "" ? message : `${message}: ${advice}`, nodeText(node));
    });
}

function hasMatrices(node: Node, inference: Inference): boolean {
  return subgraphs(node).some(
    (graph) =>
      [...graph.values()].some((value) => isMatrix(value, inference)) ||
      [...graph.nodes()].some(
        (inner) =>
          inner.inputs.some((value) => isMatrix(value, inference)) ||
          !(layerAt(inner, inference) instanceof Miss) ||
          hasMatrices(inner, inference),
      ),
  );
}

/** Returns whether a value is a stored float tensor with two axes longer than 1. */
function isMatrix(value: Value | undefined, inference: Inference): boolean {
  const operand = value === undefined ? undefined : inference.operand(value);
  if (operand?.stored !== true || !isFloat(operand.type)) return false;
  return (operand.dims ?? []).filter((dim) => dim !== 1).length >= 2;
}
