/**
 * Where a last bit may become a whole step. Sums that are added up in another order differ in their last bits; what rounds to codes of 16 bits
 * or fewer further on may make another code of that. A rewrite that changes the order of sums asks here first.
 *
 *     y = Conv(x, w);  z = BatchNormalization(y, …);  q = QuantizeLinear(z, …)        stays as it is
 *
 * What rounds is told by types: it takes floats that are computed, and makes codes of them or has codes to compute with.
 */

import { allNodes, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { bitsOf } from "../tensor/types.ts";
import type { Inference } from "./infer.ts";

/** Tells of a node whether what it computes may be rounded to codes, by whatever comes after it. */
export function leadsToCodes(model: Model, inference: Inference): (node: Node) => boolean {
  const rounding = new Set<Node>();
  for (const node of allNodes(model.graph)) if (makesCodes(node, inference)) rounding.add(node);
  // Passes ask of nodes that they have just written, too: nothing is worked out in advance, and most models round nowhere.
  return (node) => rounding.size > 0 && reaches(node, rounding);
}

/** Whether a model rounds floats to codes anywhere. */
export function roundsToCodes(model: Model, inference: Inference): boolean {
  return [...allNodes(model.graph)].some((node) => makesCodes(node, inference));
}

function makesCodes({ inputs, outputs }: Node, inference: Inference): boolean {
  const computes = inputs.some(
    (input) =>
      input?.type !== undefined &&
      isFloat(input.type.type) &&
      inference.operand(input)?.stored !== true &&
      !isCode(input),
  );
  return computes && (outputs.some(isCode) || inputs.some(isCode));
}

function isCode(value: Value | undefined): boolean {
  const type = value?.type?.type;
  if (type === undefined || type === "string" || type === "bool") return false;
  return bitsOf[type] <= 16 && type !== "float16" && type !== "bfloat16";
}

function reaches(start: Node, wanted: ReadonlySet<Node>): boolean {
  const seen = new Set<Value>();
  const work: Value[] = [];
  const follow = (values: readonly (Value | undefined)[]): void => {
    for (const value of values) {
      if (value === undefined || seen.has(value)) continue;
      seen.add(value);
      work.push(value);
    }
  };
  follow(start.outputs);
  for (let value = work.pop(); value !== undefined; value = work.pop()) {
    for (const { node } of value.uses) {
      if (wanted.has(node)) return true;
      follow(node.outputs);
      for (const inner of subgraphs(node)) follow(inner.inputs);
    }
    // What a graph inside a node hands out comes out of the node, or, in a loop, in again.
    const { graph } = value;
    if (graph.parent === undefined || !graph.isOutput(value)) continue;
    follow(graph.parent.outputs);
    follow(graph.inputs);
  }
  return false;
}
