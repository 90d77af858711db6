/**
 * Removes operators that this runtime lacks: their outputs become inputs, their inputs outputs. The rest can run and be compared.
 *
 *     x → Conv → a → custom.MyAct → b → Conv → y        inputs x and b, outputs y and a
 */

import { infer } from "../../core/analysis/infer.ts";
import type { UnknownOperator } from "../../core/engine/runtime-messages.ts";
import { extract } from "../../core/graph/extract.ts";
import type { Value, ValueType } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";

/** Returns undefined if the operators are in a subgraph or function, their output types are unknown, or nothing is left. */
export function withoutOperators(
  original: Model,
  result: Model,
  unknown: readonly UnknownOperator[],
): readonly [Model, Model] | undefined {
  const [first, second] = [original.clone(), result.clone()];
  const parts = [first, second].map((copy) => {
    const inference = infer(copy);
    const nodes = [...copy.graph.nodes()].filter(({ domain, op }) =>
      unknown.some((other) => other.op === op && other.domain === domain),
    );
    const readValues = nodes.flatMap(({ inputs }) =>
      inputs.filter((value) => value !== undefined && inference.operand(value)?.stored !== true),
    ) as Value[];
    return {
      copy,
      taken: readValues,
      given: nodes.flatMap(({ outputs }) => outputs.filter((value) => value !== undefined)),
    };
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
