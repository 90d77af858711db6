/** What a model costs: multiply-accumulates per node, and bytes. */
import { Miss } from "../errors.ts";
import { allValues, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { addDims, type Dim } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

export interface Cost {
  /** Multiply-accumulates of one run, symbolic where the batch is; undefined if a node with a weight is not counted. */
  readonly macs: Dim | undefined;
  readonly perNode: ReadonlyMap<Node, Dim>;
  readonly bytes: number;
  readonly misses: readonly Miss[];
}

export function cost(model: Model, inference: Inference): Cost {
  const perNode = new Map<Node, Dim>();
  const misses: Miss[] = [];
  let macs: Dim = 0;
  let complete = true;
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    const found = bound instanceof Miss ? bound : bound.cost();
    if (found instanceof Miss) {
      misses.push(found);
      if (node.inputs.some(isWeight)) complete = false;
      continue;
    }
    perNode.set(node, found.macs);
    macs = addDims(macs, found.macs);
  }
  let bytes = 0;
  for (const { tensor } of allValues(model.graph)) bytes += tensor?.bytes ?? 0;
  return { macs: complete ? macs : undefined, perNode, bytes, misses };
}

/** A stored tensor of two or more axes: what reads it may multiply with it. */
function isWeight(value: Value | undefined): boolean {
  const root = value === undefined ? undefined : storedRoot(value);
  return root?.tensor !== undefined && root.tensor.dims.length > 1;
}
