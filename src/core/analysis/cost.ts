import { Miss } from "../errors.ts";
import { allNodes, allValues, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { addDims, type Dim } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

export interface Cost {
  /** Multiply-accumulates of one run, symbolic in the batch; undefined if a node with a weight is not counted. */
  readonly macs: Dim | undefined;
  /** Includes nodes in subgraphs, per execution. */
  readonly perNode: ReadonlyMap<Node, Dim>;
  readonly bytes: number;
  readonly misses: readonly Miss[];
}

export function cost(model: Model, inference: Inference): Cost {
  const perNode = new Map<Node, Dim>();
  const misses: Miss[] = [];
  let macs: Dim = 0;
  let complete = true;
  for (const node of allNodes(model.graph)) {
    const bound = inference.at(node);
    const nodeCost = bound instanceof Miss ? bound : bound.cost();
    if (!(nodeCost instanceof Miss)) perNode.set(node, nodeCost.macs);
    // Nodes in subgraphs count with the outer node.
    if (node.graph !== model.graph) continue;
    if (!(nodeCost instanceof Miss)) macs = addDims(macs, nodeCost.macs);
    else {
      misses.push(nodeCost);
      if (hasWeight(node)) complete = false;
    }
  }
  let bytes = 0;
  for (const { tensor } of allValues(model.graph)) bytes += tensor?.bytes ?? 0;
  return { macs: complete ? macs : undefined, perNode, bytes, misses };
}

const hasWeight = (node: Node): boolean =>
  node.inputs.some(isWeight) || subgraphs(node).some((graph) => [...graph.nodes()].some(hasWeight));

/** A stored tensor with several axes may be a multiplied weight. */
function isWeight(value: Value | undefined): boolean {
  const root = value === undefined ? undefined : storedRoot(value);
  return root?.tensor !== undefined && root.tensor.dims.length > 1;
}
