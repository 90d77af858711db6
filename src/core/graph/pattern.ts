/**
 * Finds graph structures by patterns. A pattern is written with `emit`, so the same code can write a structure
 * and find it.
 */
import { PithError } from "../errors.ts";
import { type Emit, emitter } from "./emit.ts";
import { Graph, type Value } from "./graph.ts";

export type Operands<Name extends string> = Readonly<Record<Name, Value>>;

/**
 * Returns a function that matches a value against a pattern. It returns the pattern's operands, or undefined if
 * the value does not match.
 * Operators, input order and roles must be equal. An operand that occurs several times must match the same
 * value. Nodes with attributes never match.
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
    return record(names, (name) => {
      const operand = operandValues.get(operands[name]);
      if (operand === undefined) throw new PithError("E_MODEL", `internal: the pattern does not use "${name}".`);
      return operand;
    });
  };
}

/** The opset in which patterns are written, because it has all operators. Patterns match in any opset. */
const newestOpset = 21;

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
