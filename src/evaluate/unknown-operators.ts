/**
 * Removes operators that this runtime lacks: their outputs become inputs, their inputs outputs. The rest can run and be compared.
 *
 *     x → Conv → a → custom.MyAct → b → Conv → y        inputs x and b, outputs y and a
 */

import { biased } from "../analysis/biased.ts";
import { retypes } from "../analysis/codes.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import { requireProduct } from "../analysis/weight.ts";
import type { UnknownOperator } from "../engine/unknown-operator.ts";
import { Miss } from "../errors.ts";
import { extract } from "../graph/extract.ts";
import type { Attribute, Node, Value, ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { unknownDim } from "../tensor/dims.ts";

function isOneOf({ domain, op }: Node, unknown: readonly UnknownOperator[]): boolean {
  return unknown.some((other) => other.op === op && other.domain === domain);
}

/** Returns undefined if the operators are in a subgraph or function, their output types are unknown, or nothing is left. */
export function withoutOperators(
  original: Model,
  result: Model,
  unknown: readonly UnknownOperator[],
): readonly [Model, Model] | undefined {
  const [first, second] = [original.clone(), result.clone()];
  const parts = [first, second].map((copy) => {
    const inference = infer(copy);
    const nodes = [...copy.graph.nodes()].filter((node) => isOneOf(node, unknown));
    const taken = nodes.flatMap(({ inputs }) =>
      inputs.filter((value) => value !== undefined && inference.operand(value)?.stored !== true),
    ) as Value[];
    return { copy, taken, given: nodes.flatMap(({ outputs }) => outputs.filter((value) => value !== undefined)) };
  });
  // A reader may reveal the type in one of the models only.
  const types = new Map<string, ValueType>();
  for (const { given } of parts)
    for (const { name, type } of given) if (type?.dims !== undefined && !types.has(name)) types.set(name, type);
  const [a, b] = parts.map(({ copy, taken, given }) => {
    for (const value of given) if (value.type?.dims === undefined) value.type = types.get(value.name);
    const outputs = [...new Set([...copy.graph.outputs, ...taken])].filter(
      (value) => value.producer !== undefined && !given.includes(value),
    );
    const fails = given.length === 0 || given.some(({ type }) => type?.dims === undefined) || outputs.length === 0;
    return fails ? undefined : extract(copy, outputs, given);
  });
  return a === undefined || b === undefined ? undefined : [a, b];
}

/** Whether two models differ only in stored values and number types. Products of one size with stored matrices count as equal. */
export function differsInWeightsOnly(original: Model, result: Model, unknown: readonly UnknownOperator[]): boolean {
  const [a, b] = [computation(original, unknown), computation(result, unknown)];
  return (
    a.length === b.length &&
    a.every(({ node, product, reads }, at) => {
      const other = b[at];
      if (other === undefined || reads !== other.reads || product !== other.product) return false;
      // A quantized product can be another operator, or have another bit width.
      const isCoded = node.op !== other.node.op || node.domain !== other.node.domain || node.domain !== "";
      return (isCoded && product !== undefined) || sameNode(node, other.node);
    })
  );
}

const sameNode = (a: Node, b: Node): boolean =>
  a.op === b.op && a.domain === b.domain && settingsOf(a) === settingsOf(b);

function keptInput(node: Node, inference: Inference): number | undefined {
  if (retypes(node, inference)) return 0;
  const bound = inference.at(node);
  return bound instanceof Miss ? undefined : bound.unchanged();
}

interface Step {
  readonly node: Node;
  readonly reads: string;
  /** Size of a product with a stored matrix (or of a table), and whether a bias is added. */
  readonly product: string | undefined;
}

/** Returns the nodes that compute from the inputs, in order. A bias after a product is part of it. */
function computation(model: Model, unknown: readonly UnknownOperator[]): readonly Step[] {
  const copy = model.clone();
  // Inference needs types, so outputs of unknown operators count as rows of floats in both models.
  for (const node of copy.graph.nodes())
    for (const value of isOneOf(node, unknown) ? node.outputs : [])
      if (value !== undefined && value.type?.dims === undefined)
        value.type = {
          type: value.type?.type ?? "float32",
          dims: [unknownDim(value.name, 0), unknownDim(value.name, 1)],
        };
  const inference = infer(copy);
  const products = new Map<Node, Layer>();
  for (const layer of layers(copy, inference)) if (isProduct(layer)) products.set(layer.node, layer);
  const names = new Map<Value, string>(copy.graph.feeds.map((feed) => [feed, feed.name]));
  const sums = new Set<Node>();
  const found: Step[] = [];
  const nameOf = (value: Value | undefined): string =>
    value === undefined
      ? ""
      : (names.get(value) ?? (inference.operand(value)?.stored === true ? "stored" : value.name));
  for (const node of copy.graph.nodes()) {
    if (sums.has(node)) continue;
    if (node.outputs.every((value) => value === undefined || inference.operand(value)?.stored === true)) continue;
    const [output] = node.outputs;
    const kept = keptInput(node, inference);
    if (kept !== undefined && output !== undefined) {
      names.set(output, nameOf(node.inputs[kept]));
      continue;
    }
    for (const [at, value] of node.outputs.entries())
      if (value !== undefined) names.set(value, `#${found.length}:${at}`);
    const layer = products.get(node);
    if (layer === undefined) found.push({ node, reads: node.inputs.map(nameOf).join(), product: undefined });
    else {
      const sum = biased(layer, inference)?.sum;
      for (const value of sum?.node.outputs ?? []) if (value !== undefined) names.set(value, `#${found.length}:0`);
      if (sum !== undefined) sums.add(sum.node);
      const { role, inputs, outputs, bias } = layer;
      const product = `${role.kind} ${inputs} ${outputs} ${sum !== undefined || bias !== undefined}`;
      found.push({ node, reads: nameOf(node.inputs[role.data]), product });
    }
  }
  return found;
}

function isProduct(layer: Layer): boolean {
  const { role, effective } = layer;
  const isMatrix = role.packed !== undefined || effective.type?.dims?.length === 2;
  return isMatrix && (role.kind === "lookup" || requireProduct(layer) === undefined);
}

/** Formats attributes in order of their names. Tensors and graphs are represented by their kind. */
function settingsOf({ attributes }: Node): string {
  const text = ({ kind, value }: Attribute): string => {
    const plain = kind === "tensor" || kind === "tensors" || kind === "graph" || kind === "graphs" ? "" : value;
    return `${kind} ${JSON.stringify(plain, (_, one: unknown) => (typeof one === "bigint" ? String(one) : one))}`;
  };
  return [...attributes]
    .map(([name, attribute]) => `${name}: ${text(attribute)}`)
    .sort()
    .join("\n");
}
