/** Finds graph structures by patterns. A pattern is written with `emit`, so the same code can write a structure and find it. */
import { PithError } from "../errors.ts";
import { type Emit, emitter } from "./emit.ts";
import { Graph, type Node, type Value } from "./graph.ts";

export type Operands<Name extends string> = Readonly<Record<Name, Value>>;

/**
 * Returns a function that matches a value against a pattern. It returns the pattern's operands, or undefined if the value does not match. Operators,
 * input order and roles must be equal. An operand that occurs several times must match the same value. Nodes with attributes never match.
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

/** The opset in which patterns are written, because it has all operators. Patterns match in any opset. */
const newestOpset = 24;

function matches(written: Value, value: Value, operands: Map<Value, Value>): boolean {
  const patternNode = written.producer;
  if (patternNode === undefined) {
    const before = operands.get(written) ?? value;
    operands.set(written, before);
    return before === value;
  }
  const node = value.producer;
  if (node === undefined || node.op !== patternNode.op || node.domain !== patternNode.domain) return false;
  if (written.role !== undefined && written.role.kind !== value.role?.kind) return false;
  if (node.outputs.indexOf(value) !== patternNode.outputs.indexOf(written)) return false;
  if (node.inputs.length !== patternNode.inputs.length || node.attributes.size + patternNode.attributes.size > 0)
    return false;
  return patternNode.inputs.every((input, index) => {
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
 * match in either order; attributes and stored inputs that the pattern omits are not compared, so the caller checks them in `parts`. A pattern
 * gets a function that returns an operand that matches any value.
 */
export function structure<Name extends string, Part extends string>(
  names: readonly Name[],
  ...writers: readonly ((emit: Emit, operands: Operands<Name>, any: () => Value) => Written<Part>)[]
): (value: Value) => Match<Name, Part> | undefined {
  const written = writers.map((write) => {
    const graph = new Graph();
    const operands = record(names, (name) => graph.addInput(name, undefined));
    const any = (): Value => graph.addInput(graph.freshName("any"), undefined);
    return { operands, ...write(emitter(graph, { opsets: new Map([["", newestOpset]]) }), operands, any) };
  });
  return (value) => {
    for (const { operands, last, parts } of written) {
      const [bound] = bind(last, value, { values: new Map(), nodes: new Map() });
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

/** Operators of the default domain whose two inputs can be swapped without a change of any bit. Max and Min differ in the sign of zero. */
export const commutative: ReadonlySet<string> = new Set([
  "Add",
  "Mul",
  "Equal",
  "And",
  "Or",
  "Xor",
  "BitwiseAnd",
  "BitwiseOr",
  "BitwiseXor",
]);

/** Yields each way to extend the bindings so that `written` matches `value`. */
function* bind(written: Value, value: Value, bindings: Bindings): Generator<Bindings> {
  const like = written.producer;
  if (like === undefined) {
    const earlier = bindings.values.get(written);
    if (earlier === undefined) yield { ...bindings, values: new Map([...bindings.values, [written, value]]) };
    else if (earlier === value) yield bindings;
    return;
  }
  const node = value.producer;
  if (node === undefined || node.op !== like.op || node.domain !== like.domain) return;
  if (node.outputs.indexOf(value) !== like.outputs.indexOf(written)) return;
  const earlier = bindings.nodes.get(like);
  if (earlier !== undefined) {
    if (earlier === node) yield bindings;
    return;
  }
  const { length } = like.inputs;
  if (node.inputs.slice(length).some((input) => input !== undefined && input.tensor === undefined)) return;
  const inputs = node.inputs.slice(0, length);
  const withNode = { ...bindings, nodes: new Map([...bindings.nodes, [like, node]]) };
  yield* bindAll(like.inputs, inputs, withNode);
  if (commutative.has(like.op)) yield* bindAll(like.inputs, inputs.toReversed(), withNode);
}

/** Yields each way in which all inputs match. There is at least one. */
function* bindAll(
  [written, ...rest]: readonly (Value | undefined)[],
  [value, ...restValues]: readonly (Value | undefined)[],
  bindings: Bindings,
): Generator<Bindings> {
  const ways =
    written === undefined || value === undefined
      ? written === value
        ? [bindings]
        : []
      : bind(written, value, bindings);
  for (const way of ways) {
    if (rest.length === 0) yield way;
    else yield* bindAll(rest, restValues, way);
  }
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new PithError("E_MODEL", `internal: the pattern does not use "${name}".`);
  return value;
}
