/**
 * Weights in Constant nodes as stored tensors: exporters may write either, and only stored tensors can be masked, cut or replaced.
 *
 *     fc1.weight = Constant {value=float32[128, 784] …}        fc1.weight: float32[128, 784]
 *     h = Gemm(x, fc1.weight)                              →   h = Gemm(x, fc1.weight)
 *
 * A weight behind an Identity counts as the weight itself: exporters write one that two layers share so.
 */
import { type Inference, infer } from "../analysis/infer.ts";
import { arithmeticTypes } from "../analysis/weight.ts";
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { entryOf } from "../ops/index.ts";
import type { Tensor } from "../tensor/types.ts";
import { storeInPlace } from "./store.ts";

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
  for (const node of graph.nodes()) {
    const tensor = heldTensor(node);
    const [made] = node.outputs;
    if (tensor === undefined || made === undefined || graph.isOutput(made)) continue;
    if (arithmeticTypes.has(tensor.type) || tensor.dims.length === 0) continue;
    stored.push(storeInPlace(made, tensor));
  }
  // Up to IR 3 a stored tensor must be an input.
  if (header.irVersion < 4 && stored.length > 0) graph.setInputs([...graph.inputs, ...stored]);
}

/** What reads a stored weight through nodes that hand it on reads the weight itself. */
function skipHandingOn(model: Model): void {
  const { graph } = model;
  let inference: Inference | undefined;
  for (const node of graph.nodes()) {
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
