/** A graph's nodes moved into the graph around it: a branch that is always taken, the body of a function. */
import type { Attribute } from "./attribute.ts";
import { carry, copyAttribute } from "./clone.ts";
import type { Graph, Node, Value } from "./graph.ts";
import { canTakeName } from "./replace.ts";

/**
 * Copies the nodes and stored tensors of `from` into `to`, before a node of it, and returns the copies of its outputs. Values that `given`
 * names are taken in place of those of `from`; values from outside of `from` are used as they are. Names stay where they are free, which
 * they are not as long as `from` itself is still in the model: `restoreNames` brings them back once it is gone.
 * @param given what each input of `from` becomes; undefined for an input that is left out.
 */
export function inlineGraph(
  from: Graph,
  to: Graph,
  before: Node,
  given: ReadonlyMap<Value, Value | undefined> = new Map(),
  attributes: (node: Node) => ReadonlyMap<string, Attribute> = (node) => node.attributes,
): Inlined {
  const copies = new Map<Value, Value>();
  const names = new Map<Value, string>();
  const copied = (value: Value | undefined): Value | undefined => {
    if (value === undefined) return undefined;
    return given.has(value) ? given.get(value) : (copies.get(value) ?? value);
  };
  const add = (value: Value, copy: Value): void => {
    copy.type = value.stated;
    copy.inferred = value.inferred;
    copy.role = value.role;
    copy.declared = value.declared;
    copy.foreign = value.foreign;
    carry(value, copy);
    copies.set(value, copy);
    names.set(copy, value.name);
  };
  for (const [value, replacement] of given) if (replacement !== undefined) copies.set(value, replacement);
  for (const value of from.values()) {
    if (value.producer !== undefined || given.has(value)) continue;
    const copy = to.addValue(to.freshName(value.name), value.stated);
    copy.tensor = value.tensor;
    add(value, copy);
  }
  // ONNX Runtime refuses two nodes of one name, and values must be told apart before they are there.
  const taken = new Set(Array.from(to.nodes(), (node) => node.name));
  for (const node of from.nodes()) {
    const made = new Set<string>();
    const copy = to.addNode(
      {
        op: node.op,
        domain: node.domain,
        overload: node.overload,
        name: node.name === "" ? "" : unused(node.name, taken, (name) => name),
        inputs: node.inputs.map(copied),
        outputs: node.outputs.map((output) =>
          output === undefined ? undefined : unused(output.name, made, (name) => to.freshName(name)),
        ),
      },
      { before },
    );
    carry(node, copy);
    node.outputs.forEach((output, index) => {
      const made = copy.outputs[index];
      if (output !== undefined && made !== undefined) add(output, made);
    });
    for (const [name, attribute] of attributes(node))
      to.setAttribute(copy, name, copyAttribute(attribute, copy, copies));
  }
  return { outputs: from.outputs.map(copied), names };
}

/** A name that is not among those taken, and is from now on. */
function unused(name: string, taken: Set<string>, fresh: (name: string) => string): string {
  let found = fresh(name);
  for (let number = 1; taken.has(found); number++) found = fresh(`${name}_${number}`);
  taken.add(found);
  return found;
}

export interface Inlined {
  /** What the outputs became, in their order; undefined for an input left out that was handed through. */
  readonly outputs: readonly (Value | undefined)[];
  /** New values and the names that they had before. */
  readonly names: ReadonlyMap<Value, string>;
}

/** Gives copies their former names, where nothing else in the model has them. */
export function restoreNames(graph: Graph, { names }: Inlined): void {
  for (const [value, name] of names) {
    if (value.graph !== graph || graph.ownValue(value.name) !== value || !canTakeName(value, graph)) continue;
    if (value.name !== name && graph.freshName(name) === name) graph.rename(value, name);
  }
}
