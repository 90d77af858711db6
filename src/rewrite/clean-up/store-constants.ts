/**
 * Stores the tensors of Constant nodes under their names: only stored tensors can be masked, cut or replaced.
 *      c = Constant {value=float32[] = 2}        c: float32[] = 2
 *      y = Mul(x, c)                        →    y = Mul(x, c)
 * A constant that is an output of a graph stays. A weight behind an Identity counts as the weight: exporters write shared weights this way.
 */
import { type Inference, infer, isRandom } from "../../core/analysis/infer.ts";
import { arithmeticTypes } from "../../core/analysis/weight.ts";
import { Miss } from "../../core/errors.ts";
import { allNodes, describe, type Node, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { replaceUses, substitute } from "../../core/graph/replace.ts";
import { entryOf } from "../../core/ops/index.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import type { Dense, Tensor } from "../../core/tensor/types.ts";

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
      // Optional and sequence values come from nodes without inputs, too.
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

/** Stores the weights in Constant nodes. If the pass then changes nothing, the nodes are restored (`definePass`). */
export function storeWeights(model: Model): void {
  lift(model);
  skipHandingOn(model);
}

export function heldTensor(node: Node): Tensor | undefined {
  return entryOf(node)?.holds?.((name) => node.attributes.get(name));
}

/** Moves names and roles to the stored tensors. Scalars, graph arithmetic and model outputs stay. */
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

/** Stores the constant content of `output`; removes the node if its other outputs are unused. */
export function storeInPlace(output: Value, content: Dense | Tensor): Value {
  const { graph, name, role } = output;
  const tensor = "read" in content ? content : inMemory(content);
  const stored = graph.addTensor(`${name}.stored`, tensor);
  substitute(output, stored);
  stored.role = role;
  return stored;
}
