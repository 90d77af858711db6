/**
 * Constant nodes as stored tensors, under their names: exporters write either, and only stored tensors can be masked, cut or replaced.
 *
 *     c = Constant {value=float32[] = 2}        c: float32[] = 2
 *     y = Mul(x, c)                        →    y = Mul(x, c)
 *
 * A constant that is itself an output of a graph stays. A weight behind an Identity counts as the weight itself: exporters write one that two
 * layers share so.
 */
import { type Inference, infer, isRandom } from "../analysis/infer.ts";
import { arithmeticTypes } from "../analysis/weight.ts";
import { Miss } from "../errors.ts";
import { allNodes, describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses, substitute } from "../graph/replace.ts";
import { entryOf } from "../ops/index.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { type Change, definePass, noOptions } from "./pass.ts";

export const storeConstants = definePass({
  id: "store-constants",
  summary: "Turn Constant nodes into stored tensors",
  options: noOptions,
  async run(model) {
    const inference = infer(model);
    const changes: Change[] = [];
    for (const node of allNodes(model.graph)) {
      const { graph } = node;
      const [output] = node.outputs;
      if (node.inputs.length > 0 || node.outputs.length !== 1 || output === undefined || isRandom(node)) continue;
      // Optional, sequence and other values that are no tensors come from nodes without inputs too.
      if (inference.at(node) instanceof Miss || graph.isOutput(output)) continue;
      const tensor = heldTensor(node);
      if (tensor === undefined) continue;
      const at = describe(node);
      storeInPlace(output, tensor);
      changes.push({ at, what: "Constant node stored as a tensor", decidedBy: "global" });
    }
    return { changes, misses: [] };
  },
});

/** Makes stored tensors of the weights in Constant nodes. A pass that then changes nothing leaves the nodes as they were (`definePass`). */
export function storeWeights(model: Model): void {
  lift(model);
  skipHandingOn(model);
}

/** The tensor that a node hands on as it is; undefined for any other node. */
export function heldTensor(node: Node): Tensor | undefined {
  return entryOf(node)?.holds?.((name) => node.attributes.get(name));
}

/** Names and roles go over to the stored tensors. Scalars and arithmetic of the graph stay, and so do constants that are outputs of the model. */
function lift({ graph, header }: Model): void {
  const stored: Value[] = [];
  for (const node of allNodes(graph)) {
    const tensor = heldTensor(node);
    const [made] = node.outputs;
    if (tensor === undefined || made === undefined || node.graph.isOutput(made)) continue;
    if (arithmeticTypes.has(tensor.type) || tensor.dims.length === 0) continue;
    stored.push(storeInPlace(made, tensor));
  }
  // Up to IR 3 a stored tensor must be an input.
  const own = stored.filter((value) => value.graph === graph);
  if (header.irVersion < 4 && own.length > 0) graph.setInputs([...graph.inputs, ...own]);
}

/** What reads a stored weight through nodes that hand it on reads the weight itself. */
function skipHandingOn(model: Model): void {
  let inference: Inference | undefined;
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    const [weight, ...others] = node.inputs;
    const [made, ...more] = node.outputs;
    if (weight?.tensor === undefined || made === undefined || others.length > 0 || more.length > 0) continue;
    if (arithmeticTypes.has(weight.tensor.type) || made.role !== undefined || graph.isOutput(made)) continue;
    inference ??= infer(model);
    const bound = inference.at(node);
    if (bound instanceof Miss || bound.unchanged() !== 0) continue;
    replaceUses(made, weight);
    graph.removeNode(node);
  }
}

/** Stores what `output` always is. The node goes if its other outputs are not used either. */
export function storeInPlace(output: Value, content: Dense | Tensor): Value {
  const { graph, name, role } = output;
  const tensor = "read" in content ? content : inMemory(content);
  const stored = graph.addTensor(`${name}.stored`, tensor);
  substitute(output, stored);
  stored.role = role;
  return stored;
}
