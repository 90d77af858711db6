/** Counts the multiply-accumulates of a model and of its nodes, and the bytes of its stored tensors. */
import { addDims, allNodes, allValues, type Dim, Miss, type Model, type Node, subgraphs, type Value } from "#graph";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

export interface Cost {
  /** Multiply-accumulate operations (MACs) of one run. Undefined if the MACs of a node with a weight are unknown. */
  readonly macs: Dim | undefined;
  /** MACs of one execution of each node. */
  readonly perNode: ReadonlyMap<Node, Dim>;
  readonly bytes: number;
  readonly misses: readonly Miss[];
}

export function cost(model: Model, inference: Inference): Cost {
  const perNode = new Map<Node, Dim>();
  const misses: Miss[] = [];
  let macs: Dim = 0;
  let isComplete = true;
  for (const node of allNodes(model.graph)) {
    const bound = inference.at(node);
    const nodeCost = bound instanceof Miss ? bound : bound.cost();
    if (!(nodeCost instanceof Miss)) perNode.set(node, nodeCost.macs);
    // The cost of a node that contains subgraphs includes the nodes in them.
    if (node.graph !== model.graph) continue;
    if (!(nodeCost instanceof Miss)) macs = addDims(macs, nodeCost.macs);
    else {
      misses.push(nodeCost);
      if (hasWeight(node)) isComplete = false;
    }
  }
  let bytes = 0;
  for (const { tensor } of allValues(model.graph)) bytes += tensor?.bytes ?? 0;
  return { macs: isComplete ? macs : undefined, perNode, bytes, misses };
}

const hasWeight = (node: Node): boolean =>
  node.inputs.some(isWeight) || subgraphs(node).some((graph) => [...graph.nodes()].some(hasWeight));

function isWeight(value: Value | undefined): boolean {
  const root = value === undefined ? undefined : storedRoot(value);
  return root?.tensor !== undefined && root.tensor.dims.length > 1;
}
