/** Finds graph structures by patterns that are written with `emit`. */
import { modelError } from "../errors.ts";
import { type Emit, emitter } from "./emit.ts";
import { Graph, type Node, type Value } from "./graph.ts";

export type Operands<Name extends string> = Readonly<Record<Name, Value>>;

/**
 * Returns a function that matches a value and the nodes before it against a pattern. The function returns the values of the pattern's operands, or
 * undefined. An operand that occurs several times must match the same value. Nodes with attributes never match.
 */
export function patternMatcher<Name extends string>(
  names: readonly Name[],
  write: (emit: Emit, operands: Operands<Name>) => Value,
): (value: Value) => Operands<Name> | undefined {
  const graph = new Graph();
  const operands = recordOf(names, (name) => graph.addInput(name, undefined));
  const patternValue = write(emitter(graph, { opsets: new Map([["", newestOpset]]) }), operands);
  return (value) => {
    const operandValues = new Map<Value, Value>();
    if (!matchesPattern(patternValue, value, operandValues)) return undefined;
    return recordOf(names, (name) => requireMatched(operandValues.get(operands[name]), name));
  };
}

const newestOpset = 24;

function matchesPattern(patternValue: Value, value: Value, operands: Map<Value, Value>): boolean {
  const patternNode = patternValue.producer;
  if (patternNode === undefined) {
    const boundValue = operands.get(patternValue) ?? value;
    operands.set(patternValue, boundValue);
    return boundValue === value;
  }
  const node = value.producer;
  if (node === undefined || node.op !== patternNode.op || node.domain !== patternNode.domain) return false;
  if (patternValue.role !== undefined && patternValue.role.kind !== value.role?.kind) return false;
  if (node.outputs.indexOf(value) !== patternNode.outputs.indexOf(patternValue)) return false;
  if (node.inputs.length !== patternNode.inputs.length || node.attributes.size + patternNode.attributes.size > 0)
    return false;
  return patternNode.inputs.every((input, index) => {
    const operand = node.inputs[index];
    return input === undefined || operand === undefined ? input === operand : matchesPattern(input, operand, operands);
  });
}

function recordOf<Name extends string, V>(names: readonly Name[], of: (name: Name) => V): Record<Name, V> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<Name, V>;
}

export interface Match<Name extends string, Part extends string> {
  readonly operands: Operands<Name>;
  readonly parts: Readonly<Record<Part, Node>>;
  readonly nodes: ReadonlySet<Node>;
}

/** A pattern of `structureMatcher`: its last value, and the values whose producers become `Match.parts`. */
export interface WrittenPattern<Part extends string> {
  readonly last: Value;
  readonly parts: Readonly<Record<Part, Value>>;
}

/**
 * Returns a function that matches a value against any of several patterns. Unlike `patternMatcher`, inputs of commutative operators match in either
 * order, and attributes and roles are not compared. `any()` returns an operand without a name.
 */
export function structureMatcher<Name extends string, Part extends string>(
  names: readonly Name[],
  ...writers: readonly ((emit: Emit, operands: Operands<Name>, any: () => Value) => WrittenPattern<Part>)[]
): (value: Value) => Match<Name, Part> | undefined {
  const patterns = writers.map((write) => {
    const graph = new Graph();
    const operands = recordOf(names, (name) => graph.addInput(name, undefined));
    const any = (): Value => graph.addInput(graph.freshName("any"), undefined);
    return { operands, ...write(emitter(graph, { opsets: new Map([["", newestOpset]]) }), operands, any) };
  });
  return (value) => {
    for (const { operands, last, parts } of patterns) {
      const [bound] = bind(last, value, { values: new Map(), nodes: new Map() });
      if (bound === undefined) continue;
      const nodeOf = ({ producer }: Value): Node | undefined => producer && bound.nodes.get(producer);
      return {
        operands: recordOf(names, (name) => requireMatched(bound.values.get(operands[name]), name)),
        parts: recordOf(Object.keys(parts) as Part[], (part) => requireMatched(nodeOf(parts[part]), part)),
        nodes: new Set(bound.nodes.values()),
      };
    }
    return undefined;
  };
}

interface Bindings {
  readonly values: ReadonlyMap<Value, Value>;
  readonly nodes: ReadonlyMap<Node, Node>;
}

/** Operators whose inputs can be swapped with bitwise equal results. Not Max and Min: the sign of zero can change. */
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

function* bind(patternValue: Value, value: Value, bindings: Bindings): Generator<Bindings> {
  const patternNode = patternValue.producer;
  if (patternNode === undefined) {
    const earlier = bindings.values.get(patternValue);
    if (earlier === undefined) yield { ...bindings, values: new Map([...bindings.values, [patternValue, value]]) };
    else if (earlier === value) yield bindings;
    return;
  }
  const node = value.producer;
  if (node === undefined || node.op !== patternNode.op || node.domain !== patternNode.domain) return;
  if (node.outputs.indexOf(value) !== patternNode.outputs.indexOf(patternValue)) return;
  const earlier = bindings.nodes.get(patternNode);
  if (earlier !== undefined) {
    if (earlier === node) yield bindings;
    return;
  }
  const { length } = patternNode.inputs;
  if (node.inputs.slice(length).some((input) => input !== undefined && input.tensor === undefined)) return;
  const inputs = node.inputs.slice(0, length);
  const withNode = { ...bindings, nodes: new Map([...bindings.nodes, [patternNode, node]]) };
  yield* bindAll(patternNode.inputs, inputs, withNode);
  if (commutative.has(patternNode.op)) yield* bindAll(patternNode.inputs, inputs.toReversed(), withNode);
}

/** Yields the ways to extend the bindings so that all inputs match. The list of inputs must not be empty. */
function* bindAll(
  [patternValue, ...otherPatternValues]: readonly (Value | undefined)[],
  [value, ...otherValues]: readonly (Value | undefined)[],
  bindings: Bindings,
): Generator<Bindings> {
  const extensions =
    patternValue === undefined || value === undefined
      ? patternValue === value
        ? [bindings]
        : []
      : bind(patternValue, value, bindings);
  for (const extension of extensions) {
    if (otherPatternValues.length === 0) yield extension;
    else yield* bindAll(otherPatternValues, otherValues, extension);
  }
}

function requireMatched<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw modelError(`internal: the pattern does not use "${name}".`);
  return value;
}
