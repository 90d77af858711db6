/**
 * Removes operators that this runtime lacks, so that the rest can run and be compared:
 *     x → Conv → a → custom.MyAct → b → Conv → y        inputs x and b, outputs y and a
 */

import { infer } from "#analysis";
import { extract, type Model, type Value, type ValueType } from "#ir";
import type { UnknownOperator } from "../../core/engine/runtime-messages.ts";

/** Returns both models without the operators; undefined if the operators cannot be separated, or nothing remains. */
export function withoutOperators(
  models: Readonly<Record<"original" | "result", Model>>,
  unknown: readonly UnknownOperator[],
): Readonly<Record<"original" | "result", Model>> | undefined {
  const parts = [models.original.clone(), models.result.clone()].map((copy) => {
    const inference = infer(copy);
    const nodes = [...copy.graph.nodes()].filter(({ domain, op }) =>
      unknown.some((other) => other.op === op && other.domain === domain),
    );
    const readValues = nodes.flatMap(({ inputs }) =>
      inputs.filter((value) => value !== undefined && inference.operand(value)?.stored !== true),
    ) as Value[];
    return {
      copy,
      removedInputs: readValues,
      removedOutputs: nodes.flatMap(({ outputs }) => outputs.filter((value) => value !== undefined)),
    };
  });
  // Inference may find the type in only one of the models.
  const types = new Map<string, ValueType>();
  for (const { removedOutputs } of parts)
    for (const { name, type } of removedOutputs)
      if (type?.dims !== undefined && !types.has(name)) types.set(name, type);
  const [original, result] = parts.map(({ copy, removedInputs, removedOutputs }) => {
    for (const value of removedOutputs) if (value.type?.dims === undefined) value.type = types.get(value.name);
    const outputs = [...new Set([...copy.graph.outputs, ...removedInputs])].filter(
      (value) => value.producer !== undefined && !removedOutputs.includes(value),
    );
    const fails =
      removedOutputs.length === 0 ||
      removedOutputs.some(({ type }) => type?.dims === undefined) ||
      outputs.length === 0;
    return fails ? undefined : extract(copy, outputs, removedOutputs);
  });
  return original === undefined || result === undefined ? undefined : { original, result };
}
