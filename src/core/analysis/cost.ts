/** Counts the multiply-accumulates of a model and of its nodes, and the bytes of its stored tensors. */
import {
  addDims,
  allNodes,
  allValues,
  type Dim,
  dimValue,
  formatReason,
  isSymbolic,
  Miss,
  type Model,
  type Node,
  subgraphs,
  type Value,
} from "#graph";
import { type Inference, infer } from "./infer.ts";
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

/** Returns the multiply-accumulates of one sample, at assumed sizes of symbolic dimensions (`assumedDimSizes`). Returns a Miss if they are unknown. */
export function macsPerSample(model: Model): number | Miss {
  const { macs, misses } = cost(model, infer(model));
  const value = macs === undefined ? undefined : dimValue(macs, assumedDimSizes(model));
  const batch = model.graph.feeds[0]?.type?.dims?.[0];
  if (value !== undefined) return value / (typeof batch === "number" ? batch || 1 : 1);
  const [first] = misses;
  return new Miss(first === undefined ? "they depend on sizes that are not known" : formatReason(first));
}

/** The assumed size of dimensions that the file does not state, such as sequence lengths and image sides. */
const defaultSize = 64;

export function assumedDimSizes({ graph }: Model): Readonly<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const { type } of graph.feeds)
    for (const [axis, dim] of (type?.dims ?? []).entries())
      if (isSymbolic(dim)) sizes[dim.text] ??= axis === 0 ? 1 : defaultSize;
  return sizes;
}
