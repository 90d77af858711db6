import { elementCount, isFloat, type Node, subgraphs, type Value } from "#graph";
import type { Inference } from "./infer.ts";

/** Returns the pass and option that replace an `If` by one of its branches: `` `simplify set: "rate=16000"` ``. */
export function branchAdvice(node: Node, inference: Inference): string | undefined {
  const [condition] = node.inputs;
  if (subgraphs(node).length < 2 || condition === undefined) return undefined;
  const decision = decidingInput(condition, inference);
  if (decision === undefined) return undefined;
  const { input, number } = decision;
  return input === undefined ? "`simplify`" : `\`simplify set: "${input}=${number ?? "…"}"\``;
}

interface DecidingInput {
  /** The name of the model input that decides. */
  readonly input: string | undefined;
  /** A stored number from which the condition is computed. */
  readonly number: number | undefined;
}

/** Returns the model input of one element that alone decides a condition, and the first stored number in its computation. */
function decidingInput(condition: Value, inference: Inference): DecidingInput | undefined {
  const seen = new Set<Value>();
  const inputs: Value[] = [];
  let number: number | undefined;
  const pending = [condition];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    const operand = inference.operand(value);
    const element = operand?.small?.data[0] ?? operand?.elements?.[0];
    if (operand?.stored === true) {
      if (operand.type !== "bool" && typeof element !== "object" && element !== undefined) number ??= Number(element);
    } else if (value.producer !== undefined) {
      for (const input of value.producer.inputs) if (input !== undefined) pending.push(input);
    } else inputs.push(value);
  }
  const [input, ...otherInputs] = inputs;
  if (input === undefined) return { input, number };
  const { type, dims } = inference.operand(input) ?? {};
  if (otherInputs.length > 0 || type === undefined || isFloat(type) || dims === undefined || elementCount(dims) !== 1)
    return undefined;
  return { input: input.name, number };
}
