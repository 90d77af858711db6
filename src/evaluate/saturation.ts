/**
 * Outputs that a saturating operator makes (Sigmoid, Softmax), and what goes into it. Where all of such an output is near 0 or 1, two models agree in
 * it whatever they compute, and differ in its last bits though they compute the same: what goes in tells.
 */

import { type Inference, infer } from "../analysis/infer.ts";
import { makersOf } from "../analysis/makers.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";

export interface Saturating {
  /** Both models with what goes into their last saturating operators as outputs beside the others. */
  readonly original: Model;
  readonly other: Model;
  /** The outputs that such an operator makes. */
  readonly outputs: ReadonlySet<string>;
  /** Added output → the output that is made of it. */
  readonly before: ReadonlyMap<string, string>;
}

/**
 * Copies of both, unless nothing saturates.
 * @param wanted the outputs to ask of; else all.
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

/** Between which numbers an output lies because of the operator that makes it: 0 and 1 behind a Sigmoid. */
export function boundsOf(output: Value, inference: Inference): readonly [low: number, high: number] | undefined {
  return lastSaturating(output, inference)?.bounds;
}

/** Whether an output lies between 0 and 1 because of the operator that makes it: Sigmoid, not Tanh. */
export function isShare(output: Value, inference: Inference): boolean {
  return boundsOf(output, inference)?.[0] === 0;
}

/** Output → what goes into the saturating operator that makes it, numbers being only moved since. */
function inputsOfLast(model: Model): ReadonlyMap<string, Value> {
  const inference = infer(model);
  return new Map(
    model.graph.outputs.flatMap((output) => {
      const input = lastSaturating(output, inference)?.input;
      return input === undefined || input.type === undefined || !isFloat(input.type.type) ? [] : [[output.name, input]];
    }),
  );
}

/** The input and the asymptotes of the saturating operator behind a value, with nothing but reshaping between. */
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
