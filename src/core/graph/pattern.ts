/** Patterns are written with `emit`, like the nodes that they match, so the code that writes a structure also defines how to find it. */
import { PithError } from "../errors.ts";
import { type Emit, emitter } from "./emit.ts";
import { Graph, type Node, type Value } from "./graph.ts";

export type Operands<Name extends string> = Readonly<Record<Name, Value>>;

/**
 * Returns a function that matches a value against a pattern and returns its operands, or undefined.
 * Operators, input order and roles must be equal; an operand in several positions must be one value. Nodes with attributes never match.
 */
export function pattern<Name extends string>(
  names: readonly Name[],
  write: (emit: Emit, operands: Operands<Name>) => Value,
): (value: Value) => Operands<Name> | undefined {
  const graph = new Graph();
  const operands = record(names, (name) => graph.addInput(name, undefined));
  const written = write(emitter(graph, { opsets: new Map([["", newestOpset]]) }), operands);
  return (value) => {
    const operandValues = new Map<Value, Value>();
    if (!matches(written, value, operandValues)) return undefined;
    return record(names, (name) => required(operandValues.get(operands[name]), name));
  };
}

/** Patterns apply in any opset; they are written in one that has all operators. */
const newestOpset = 24;

function matches(written: Value, value: Value, operands: Map<Value, Value>): boolean {
  const like = written.producer;
  if (like === undefined) {
    const before = operands.get(written) ?? value;
    operands.set(written, before);
    return before === value;
  }
  const node = value.producer;
  if (node === undefined || node.op !== like.op || node.domain !== like.domain) return false;
  if (written.role !== undefined && written.role.kind !== value.role?.kind) return false;
  if (node.outputs.indexOf(value) !== like.outputs.indexOf(written)) return false;
  if (node.inputs.length !== like.inputs.length || node.attributes.size + like.attributes.size > 0) return false;
  return like.inputs.every((input, index) => {
    const operand = node.inputs[index];
    return input === undefined || operand === undefined ? input === operand : matches(input, operand, operands);
  });
}

function record<Name extends string, V>(names: readonly Name[], of: (name: Name) => V): Record<Name, V> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<Name, V>;
}

/** Nodes that match a structure. */
export interface Match<Name extends string, Part extends string> {
  readonly operands: Operands<Name>;
  /** Matched nodes by the names that the pattern gives them. */
  readonly parts: Readonly<Record<Part, Node>>;
  /** All matched nodes. */
  readonly nodes: ReadonlySet<Node>;
}

/** The last value of a pattern, and values whose producers a match returns by name. */
export interface Written<Part extends string> {
  readonly last: Value;
  readonly parts: Readonly<Record<Part, Value>>;
}

/**
 * Returns a function that matches a value against any of several patterns, like `pattern` with these differences: the inputs of Add and Mul
 * match in either order; attributes and stored inputs that the pattern omits are not compared, so the caller checks them in `parts`.
 */
export function structure<Name extends string, Part extends string>(
  names: readonly Name[],
  ...writers: readonly ((emit: Emit, operands: Operands<Name>) => Written<Part>)[]
): (value: Value) => Match<Name, Part> | undefined {
  const written = writers.map((write) => {
    const graph = new Graph();
    const operands = record(names, (name) => graph.addInput(name, undefined));
    return { operands, ...write(emitter(graph, { opsets: new Map([["", newestOpset]]) }), operands) };
  });
  return (value) => {
    for (const { operands, last, parts } of written) {
      const bound = bind(last, value, { values: new Map(), nodes: new Map() });
      if (bound === undefined) continue;
      const nodeOf = ({ producer }: Value): Node | undefined => producer && bound.nodes.get(producer);
      return {
        operands: record(names, (name) => required(bound.values.get(operands[name]), name)),
        parts: record(Object.keys(parts) as Part[], (part) => required(nodeOf(parts[part]), part)),
        nodes: new Set(bound.nodes.values()),
      };
    }
    return undefined;
  };
}

interface Bindings {
  /** Values by the pattern's operands. */
  readonly values: ReadonlyMap<Value, Value>;
  /** Nodes by the pattern's nodes. */
  readonly nodes: ReadonlyMap<Node, Node>;
}

const commutative: ReadonlySet<string> = new Set(["Add", "Mul"]);

/** Extends the bindings so that `written` matches `value`; undefined if there is no way. */
function bind(written: Value, value: Value, bindings: Bindings): Bindings | undefined {
  const like = written.producer;
  if (like === undefined) {
    const earlier = bindings.values.get(written);
    if (earlier !== undefined) return earlier === value ? bindings : undefined;
    return { ...bindings, values: new Map([...bindings.values, [written, value]]) };
  }
  const node = value.producer;
  if (node === undefined || node.op !== like.op || node.domain !== like.domain) return undefined;
  if (node.outputs.indexOf(value) !== like.outputs.indexOf(written)) return undefined;
  const earlier = bindings.nodes.get(like);
  if (earlier !== undefined) return earlier === node ? bindings : undefined;
  const { length } = like.inputs;
  if (node.inputs.slice(length).some((input) => input !== undefined && input.tensor === undefined)) return undefined;
  const inputs = node.inputs.slice(0, length);
  const orders = commutative.has(like.op) ? [inputs, inputs.toReversed()] : [inputs];
  for (const order of orders) {
    let bound: Bindings | undefined = { ...bindings, nodes: new Map([...bindings.nodes, [like, node]]) };
    for (const [index, input] of like.inputs.entries()) {
      const operand = order[index];
      if (bound === undefined) break;
      if (input === undefined || operand === undefined) bound = input === operand ? bound : undefined;
      else bound = bind(input, operand, bound);
    }
    if (bound !== undefined) return bound;
  }
  return undefined;
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new PithError("E_MODEL", `internal: the pattern does not use "${name}".`);
  return value;
}
