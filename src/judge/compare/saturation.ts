/** Inputs of saturating operators (Sigmoid, Softmax) as outputs, because outputs near 0 or 1 everywhere do not show whether models agree. */

import { type Inference, infer } from "../../core/analysis/infer.ts";
import { makersOf } from "../../core/analysis/makers.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isFloat } from "../../core/tensor/convert.ts";

export interface Saturating {
  /** Both models with the inputs of their last saturating operators as additional outputs. */
  readonly original: Model;
  readonly other: Model;
  readonly outputs: ReadonlySet<string>;
  /** Added output → the output that is computed from it. */
  readonly before: ReadonlyMap<string, string>;
}

/**
 * Copies both models, unless nothing saturates.
 * @param wanted the outputs to examine; default: all.
 */
export function withSaturating(original: Model, other: Model, wanted?: readonly string[]): Saturating {
  const [first, second] = [original.clone(), other.clone()];
  const [found, b] = [inputsOfLast(first), inputsOfLast(second)];
  const a = new Map([...found].filter(([output]) => wanted?.includes(output) ?? true));
  if (a.size === 0) return { original, other, outputs: new Set(), before: new Map() };
  const before = new Map<string, string>();
  for (const [output, input] of a) {
    const own = b.get(output);
    if (own === undefined || own.type?.type !== input.type?.type) continue;
    const name = `${output} before saturation`;
    for (const [model, value] of [
      [first, input],
      [second, own],
    ] as const) {
      const copy = emitInto(model).named(name).Identity([value]);
      if (copy.type === undefined) copy.type = value.type;
      model.graph.addOutput(copy);
      before.set(copy.name, output);
    }
  }
  return { original: first, other: second, outputs: new Set(a.keys()), before };
}

/** Returns the bounds from the operator that computes an output: 0 and 1 for Sigmoid. */
export function boundsOf(output: Value, inference: Inference): readonly [low: number, high: number] | undefined {
  return lastSaturating(output, inference)?.bounds;
}

export function isShare(output: Value, inference: Inference): boolean {
  return boundsOf(output, inference)?.[0] === 0;
}

function inputsOfLast(model: Model): ReadonlyMap<string, Value> {
  const inference = infer(model);
  return new Map(
    model.graph.outputs.flatMap((output) => {
      const input = lastSaturating(output, inference)?.input;
      return input === undefined || input.type === undefined || !isFloat(input.type.type) ? [] : [[output.name, input]];
    }),
  );
}

function lastSaturating(
  output: Value,
  inference: Inference,
): { readonly input: Value | undefined; readonly bounds: readonly [low: number, high: number] } | undefined {
  for (const { node, bound } of makersOf(output, inference)) {
    const bounds = bound.saturates();
    if (bounds !== undefined) return { input: node.inputs[0], bounds };
  }
  return undefined;
}
