/**
 * Types, dimensions and small contents of every value, by asking each operator's entry in order.
 *
 * The walk fills in `value.inferred`, which is never saved where the file states a type, and remembers what rules need beyond it. Where an
 * entry cannot tell, what is stated holds, and the reason is listed. Nodes that are added later are visited one by one (`visit`), so that
 * emitted graphs are typed at once.
 */
import { Miss, PithError } from "../errors.ts";
import { describe, type Graph, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Bound, type Operand, operators, type Registry, type Site } from "../ops/index.ts";
import { storedFacts } from "../ops/shape.ts";
import { unknownDim } from "../tensor/dims.ts";

export interface Inference {
  /** Nodes whose outputs could not be inferred, with the reason. */
  readonly misses: readonly Miss[];
  /** What is known of a value; undefined if not even its type is. */
  operand(value: Value): Operand | undefined;
  /** A node as its entry sees it. */
  site(node: Node): Site;
  /** A node's entry, applied to it; a Miss for an operator without one. */
  at(node: Node): Bound | Miss;
  /** Infers the outputs of a new or changed node. */
  visit(node: Node): void;
}

/** Infers all values of a model. Costs one visit per node; no weights are read. */
export function infer(model: Model, registry: Registry = operators): Inference {
  const facts = new Map<Value, Operand>();
  const misses: Miss[] = [];

  const operand = (value: Value): Operand | undefined => {
    const known = facts.get(value);
    if (known !== undefined) return known;
    const { tensor, type } = value;
    if (tensor !== undefined) {
      const found = { ...storedFacts(tensor.type, tensor.dims, tensor.small), stored: true };
      facts.set(value, found);
      return found;
    }
    return type === undefined ? undefined : { ...type, stored: false };
  };

  const site = (node: Node): Site => ({
    version: model.opsets.get(node.domain) ?? (node.domain === "" ? (model.opsets.get("ai.onnx") ?? 1) : 1),
    inputs: node.inputs.map((input) => (input === undefined ? undefined : operand(input))),
    outputs: node.outputs.length,
    attribute: (name) => node.attributes.get(name),
    open: (output, axis) => unknownDim(node.outputs[output]?.name ?? `${node.name}:${output}`, axis),
  });

  const at = (node: Node): Bound | Miss => {
    const op = registry.find(node.domain, node.op);
    if (op === undefined) return new Miss("this operator has no entry", describe(node));
    if (node.inputs.some((input) => input !== undefined && operand(input) === undefined)) {
      return new Miss("the type of an input is not known", describe(node));
    }
    const bound = placed(node, () => op.at(site(node)));
    return bound instanceof Miss ? new Miss(bound.reason, describe(node)) : bound;
  };

  const visit = (node: Node): void => {
    for (const graph of subgraphs(node)) walk(graph);
    const bound = at(node);
    const outputs = bound instanceof Miss ? bound : placed(node, () => bound.infer());
    const stored =
      subgraphs(node).next().done === true &&
      node.inputs.every((input) => input === undefined || operand(input)?.stored === true);
    if (outputs instanceof Miss) misses.push(new Miss(outputs.reason, describe(node)));
    node.outputs.forEach((value, index) => {
      if (value === undefined) return;
      const inferred = outputs instanceof Miss ? undefined : outputs[index];
      const type = inferred?.type ?? value.stated?.type;
      if (type === undefined) {
        value.inferred = undefined;
        return;
      }
      const dims = inferred?.dims ?? value.stated?.dims;
      value.inferred = { type, dims };
      facts.set(value, { ...inferred, type, dims, stored });
    });
  };

  const walk = (graph: Graph): void => {
    for (const node of graph.nodes()) visit(node);
  };
  walk(model.graph);
  return { misses, operand, site, at, visit };
}

/** What an entry finds wrong with a node is said with the node's name. */
function placed<R>(node: Node, ask: () => R): R {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw new PithError(error.code, `${describe(node)}: ${error.message}`, { cause: error });
  }
}
