/**
 * Weights in Constant nodes as stored tensors, as long as it takes: exporters may write either, and only stored tensors can be masked, cut
 * or replaced.
 *
 *     fc1.weight = Constant {value=float32[128, 784] …}        fc1.weight: float32[128, 784]
 *     h = Gemm(x, fc1.weight)                              →   h = Gemm(x, fc1.weight)
 *
 * A weight behind an Identity counts as the weight itself: exporters write one that two layers share so.
 *
 * A pass that then changes nothing must leave the file as it was, so the nodes stay until the outcome is known.
 */
import { type Inference, infer } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { operators } from "../ops/index.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Outcome } from "./pass.ts";

/** Runs work on a model whose constants are stored tensors; they are nodes again if it fails, or changes nothing. */
export async function withStoredConstants<R extends Outcome>(model: Model, work: () => Promise<R>): Promise<R> {
  const lifted = liftAll(model);
  let changed = false;
  try {
    const outcome = await work();
    changed = outcome.changes.length > 0;
    return outcome;
  } finally {
    for (const one of lifted) {
      if (changed) removeNode(one);
      else one.putBack();
    }
  }
}

/** Makes stored tensors of the weights in Constant nodes, for good. */
export function storeWeights(model: Model): void {
  for (const one of liftAll(model)) removeNode(one);
}

/** In the order to undo them in. */
function liftAll(model: Model): readonly Lifted[] {
  return [...lift(model), ...skipHandingOn(model)].toReversed();
}

/** The tensor that a node hands on as it is; undefined for any other node. */
export function heldTensor({ domain, op, attributes }: Node): Tensor | undefined {
  return operators.find(domain, op)?.holds?.((name) => attributes.get(name));
}

interface Lifted {
  readonly node: Node;
  /** What the node makes; nobody reads it. */
  readonly made: Value;
  putBack(): void;
}

/** Types of sizes, places and decisions: arithmetic of the graph. Smaller integers stand for trained numbers. */
const arithmetic: ReadonlySet<DataType> = new Set(["int64", "uint64", "bool", "string"]);

/** Names and roles go over to the stored tensors. Scalars and arithmetic of the graph stay, and so do constants that are outputs of the model. */
function lift({ graph, header }: Model): readonly Lifted[] {
  const lifted: Lifted[] = [];
  const all: Value[] = [];
  const outputs = new Set(graph.outputs);
  for (const node of graph.nodes()) {
    const tensor = heldTensor(node);
    const [made] = node.outputs;
    if (tensor === undefined || made === undefined || outputs.has(made)) continue;
    if (arithmetic.has(tensor.type) || tensor.dims.length === 0) continue;
    const stored = graph.addTensor(made.name, tensor);
    exchange(made, stored);
    lifted.push({
      node,
      made,
      putBack() {
        if (!isThere(node, made, stored, tensor)) return;
        exchange(stored, made);
        graph.removeValue(stored);
      },
    });
    all.push(stored);
  }
  // Up to IR 3 a stored tensor must be an input.
  if (header.irVersion < 4) graph.setInputs([...graph.inputs, ...all]);
  return lifted;
}

/** What reads a stored weight through nodes that hand it on reads the weight itself. */
function skipHandingOn(model: Model): readonly Lifted[] {
  const { graph } = model;
  const outputs = new Set(graph.outputs);
  const skipped: Lifted[] = [];
  let inference: Inference | undefined;
  for (const node of graph.nodes()) {
    const [weight, ...others] = node.inputs;
    const [made, ...more] = node.outputs;
    if (weight?.tensor === undefined || made === undefined || others.length > 0 || more.length > 0) continue;
    if (arithmetic.has(weight.tensor.type) || made.role !== undefined || outputs.has(made)) continue;
    inference ??= infer(model);
    const bound = inference.at(node);
    if (bound instanceof Miss || bound.unchanged() !== 0) continue;
    const reads = [...made.uses];
    replaceUses(made, weight);
    const putBack = (): void => {
      if (made.graph.ownValue(made.name) !== made || made.producer !== node) return;
      for (const { node: reader, input } of reads)
        if (reader.inputs[input] === weight) reader.graph.setInput(reader, input, made);
    };
    skipped.push({ node, made, putBack });
  }
  return skipped;
}

/** Gives a value's readers, name and role to another. */
function exchange(from: Value, to: Value): void {
  const { graph } = from;
  const { name } = from;
  const other = to.name;
  replaceUses(from, to);
  graph.rename(from, graph.freshName(`${name}_exchanged`));
  graph.rename(to, name);
  if (graph.ownValue(other) === undefined) graph.rename(from, other);
  to.role = from.role;
  from.role = undefined;
}

/** Whether the work, which failed, left the two as they were. */
function isThere(node: Node, made: Value, stored: Value, tensor: Tensor): boolean {
  const { graph } = made;
  const [output] = node.outputs;
  return (
    output === made &&
    graph.ownValue(made.name) === made &&
    graph.ownValue(stored.name) === stored &&
    stored.tensor === tensor
  );
}

/** The node has nothing left to do, if the work has not removed it. */
function removeNode({ node, made }: Lifted): void {
  if (made.graph.ownValue(made.name) === made && made.uses.size === 0) made.graph.removeNode(node);
}
