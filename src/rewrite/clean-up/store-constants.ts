/**
 * Stores the tensors of Constant nodes under their names: only stored tensors can be masked, pruned or replaced. A constant that is a graph output
 * stays a node. Readers of an Identity of a weight read the weight itself: exporters write shared weights so.
 */
import { arithmeticTypes, cachePerRevision, type Inference, infer, isRandom } from "#analysis";
import type { Dense, Model, Node, Tensor, Value } from "#ir";
import { allNodes, inMemory, Miss, nodeText, replaceUses, substitute } from "#ir";
import type { Change } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";

export const storeConstants = defineCleanUp("store-constants", "Turn Constant nodes into stored tensors", (model) => {
  const inference = infer(model);
  const changes: Change[] = [];
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    const [output] = node.outputs;
    if (node.inputs.length > 0 || node.outputs.length !== 1 || output === undefined || isRandom(node)) continue;
    // Nodes without inputs can also output optionals and sequences.
    if (inference.at(node) instanceof Miss || graph.isOutput(output)) continue;
    const tensor = constantOf(node);
    if (tensor === undefined) continue;
    const at = nodeText(node);
    storeInPlace(output, tensor);
    changes.push(cleanUpChange(at, "Constant node stored as a tensor"));
  }
  return changes;
});

/** Stores the weights in Constant nodes. If the pass then changes nothing, the nodes are restored (`definePass`). */
export function storeWeights(model: Model): void {
  const { graph, header } = model;
  const inputs: Value[] = [];
  for (const [output, tensor] of findConstantWeights(model)) {
    const value = storeInPlace(output, tensor);
    if (value.graph === graph) inputs.push(value);
  }
  // Up to IR 3 a stored tensor must be an input.
  if (header.irVersion < 4 && inputs.length > 0) graph.setInputs([...graph.inputs, ...inputs]);
  for (const [output, weight] of findIdentities(model)) {
    const { producer } = output;
    replaceUses(output, weight);
    if (producer !== undefined) producer.graph.removeNode(producer);
  }
}

/** Returns the model with all weights as stored tensors: the model itself, or a copy, which callers share and must not modify. */
export const withStoredWeights = (model: Model): Model => storedCopy(model, infer(model));

const storedCopy = cachePerRevision((model) => {
  if ([findConstantWeights(model), findIdentities(model)].every((iterator) => iterator.next().done)) return model;
  const copy = model.clone();
  storeWeights(copy);
  return copy;
});

export function constantOf(node: Node): Tensor | undefined {
  return entryOf(node)?.holds?.((name) => node.attributes.get(name));
}

/** Skips scalars, integers of shape arithmetic and outputs of the graph. */
function* findConstantWeights({ graph }: Model): Generator<readonly [output: Value, tensor: Tensor]> {
  for (const node of allNodes(graph)) {
    const tensor = constantOf(node);
    const [output] = node.outputs;
    if (tensor === undefined || output === undefined || node.graph.isOutput(output)) continue;
    if (!arithmeticTypes.has(tensor.type) && tensor.dims.length > 0) yield [output, tensor];
  }
}

function* findIdentities(model: Model): Generator<readonly [output: Value, weight: Value]> {
  let inference: Inference | undefined;
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    const [weight] = node.inputs;
    const [output] = node.outputs;
    if (weight?.tensor === undefined || output === undefined) continue;
    if (node.inputs.length > 1 || node.outputs.length > 1) continue;
    if (arithmeticTypes.has(weight.tensor.type) || output.role !== undefined || graph.isOutput(output)) continue;
    inference ??= infer(model);
    if (inference.facet(node, "unchanged") === 0) yield [output, weight];
  }
}

/** Stores the constant content of `output`; removes the node if its other outputs are unused. */
export function storeInPlace(output: Value, content: Dense | Tensor): Value {
  const { graph, name, role } = output;
  const tensor = "read" in content ? content : inMemory(content);
  const storedValue = graph.addTensor(`${name}.stored`, tensor);
  substitute(output, storedValue);
  storedValue.role = role;
  return storedValue;
}
