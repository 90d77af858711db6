/** Adds the inputs of saturating operators (Sigmoid, Softmax) as outputs. Outputs near 0 or 1 for all inputs do not show whether two models agree. */

import { type Inference, infer } from "../../core/analysis/infer.ts";
import { makersOf } from "../../core/analysis/makers.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isFloat } from "../../core/tensor/convert.ts";

export interface SaturatingModels {
  /** Both models with the inputs of their last saturating operators as additional outputs. */
  readonly original: Model;
  readonly other: Model;
  readonly outputs: ReadonlySet<string>;
  /** Added output → the output that is computed from it. */
  readonly before: ReadonlyMap<string, string>;
}

/**
 * Returns copies of both models with the inputs of saturating operators as additional outputs; the models themselves if nothing saturates.
 * @param selected names of the outputs to examine (default: all).
 */
export function withSaturating(original: Model, other: Model, selected?: readonly string[]): SaturatingModels {
  const copies = { original: original.clone(), other: other.clone() };
  const outputs = selected ?? original.graph.outputs.map(({ name }) => name);
  const inputs = [...saturatingInputs(copies.original)].filter(([output]) => outputs.includes(output));
  if (inputs.length === 0) return { original, other, outputs: new Set(), before: new Map() };
  const otherInputs = saturatingInputs(copies.other);
  const before = new Map<string, string>();
  const addOutput = (model: Model, value: Value, output: string): void => {
    const copy = emitInto(model).named(`${output} before saturation`).Identity([value]);
    copy.type ??= value.type;
    model.graph.addOutput(copy);
    before.set(copy.name, output);
  };
  for (const [output, input] of inputs) {
    const counterpart = otherInputs.get(output);
    if (counterpart === undefined || counterpart.type?.type !== input.type?.type) continue;
    addOutput(copies.original, input, output);
    addOutput(copies.other, counterpart, output);
  }
  return { ...copies, outputs: new Set(inputs.map(([output]) => output)), before };
}

/** Returns the lowest and highest value of the operator that computes an output, such as 0 and 1 for Sigmoid. */
export function boundsOf(output: Value, inference: Inference): readonly [low: number, high: number] | undefined {
  return findSaturating(output, inference)?.bounds;
}

/** Returns whether the values of an output are between 0 and 1. */
export function isShare(output: Value, inference: Inference): boolean {
  return boundsOf(output, inference)?.[0] === 0;
}

/** Returns the float inputs of saturating operators, by the name of the output that they compute. */
function saturatingInputs(model: Model): ReadonlyMap<string, Value> {
  const inference = infer(model);
  return new Map(
    model.graph.outputs.flatMap((output) => {
      const input = findSaturating(output, inference)?.input;
      return input === undefined || input.type === undefined || !isFloat(input.type.type) ? [] : [[output.name, input]];
    }),
  );
}

function findSaturating(output: Value, inference: Inference) {
  for (const { node, bound } of makersOf(output, inference)) {
    const bounds = bound.saturates();
    if (bounds !== undefined) return { input: node.inputs[0], bounds };
  }
  return undefined;
}
