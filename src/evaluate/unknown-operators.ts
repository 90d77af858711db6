/**
 * Models with operators that this runtime does not have, without them: what comes out of such a node becomes an input, what goes in an output.
 * The rest runs, and can be held against the rest of another model.
 *
 *     x → Conv → a → custom.MyAct → b → Conv → y        inputs x and b, outputs y and a
 */

import { retypes } from "../analysis/codes.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import type { UnknownOperator } from "../engine/unknown-operator.ts";
import { Miss } from "../errors.ts";
import { extract } from "../graph/extract.ts";
import type { Attribute, Node, Value, ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

function isOneOf({ domain, op }: Node, unknown: readonly UnknownOperator[]): boolean {
  return unknown.some((other) => other.op === op && other.domain === domain);
}

/**
 * Both models without the nodes of these operators. Undefined where that is not possible: they lie in a graph inside a node or in a function, or
 * neither model tells of what type their outputs are, or nothing is left.
 */
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
  // What reads an output may tell its type in one of them alone.
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

/**
 * Whether two models compute the same but for what is stored in them and for the types that numbers are carried in: node by node the same
 * operators, settings and connections.
 */
export function differsInWeightsOnly(original: Model, result: Model): boolean {
  const [a, b] = [computation(original), computation(result)];
  return (
    a.length === b.length &&
    a.every(({ node, reads }, at) => {
      const other = b[at];
      return (
        other !== undefined &&
        node.op === other.node.op &&
        node.domain === other.node.domain &&
        reads === other.reads &&
        settingsOf(node) === settingsOf(other.node)
      );
    })
  );
}

/** The input that a node hands on, as it is or in another type. */
function keptInput(node: Node, inference: Inference): number | undefined {
  if (retypes(node, inference)) return 0;
  const bound = inference.at(node);
  return bound instanceof Miss ? undefined : bound.unchanged();
}

/** The nodes that compute something from the inputs, in order, and what each reads. */
function computation(model: Model): readonly { readonly node: Node; readonly reads: string }[] {
  const copy = model.clone();
  const inference = infer(copy);
  const names = new Map<Value, string>(copy.graph.feeds.map((feed) => [feed, feed.name]));
  const found: { node: Node; reads: string }[] = [];
  const nameOf = (value: Value | undefined): string =>
    value === undefined
      ? ""
      : (names.get(value) ?? (inference.operand(value)?.stored === true ? "stored" : value.name));
  for (const node of copy.graph.nodes()) {
    if (node.outputs.every((value) => value === undefined || inference.operand(value)?.stored === true)) continue;
    const [output] = node.outputs;
    const kept = keptInput(node, inference);
    if (kept !== undefined && output !== undefined) {
      names.set(output, nameOf(node.inputs[kept]));
      continue;
    }
    for (const [at, value] of node.outputs.entries())
      if (value !== undefined) names.set(value, `#${found.length}:${at}`);
    found.push({ node, reads: node.inputs.map(nameOf).join() });
  }
  return found;
}

/** Attributes as text, in order of their names. Tensors and graphs are told by their kind alone. */
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
