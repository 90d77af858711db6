/**
 * Fake quantization: rounding written as float arithmetic, so that it can be trained through.
 *
 *     w' = Mul(Clip(Round(Div(w, s)), low, high), s)
 *
 * `Round` has the role `straight-through`: its gradient passes, that of `Clip` is 0 outside the range. Codes count from the zero point:
 * uint8 with zero point z is low = -z, high = 255 - z, so no addition is needed and w' = 0 where w = 0. Round is half to even, as in
 * QuantizeLinear: what is trained is what is exported.
 */

import type { Layer } from "../analysis/layers.ts";
import type { Emit } from "../graph/emit.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Operands, pattern } from "../graph/pattern.ts";
import { replaceUses } from "../graph/replace.ts";
import { buffer, straightThrough } from "../graph/role.ts";
import { removeUnused } from "../passes/remove-unused.ts";
import { isStored } from "../passes/stored.ts";
import { toNumbers } from "../tensor/convert.ts";
import { float32 } from "../tensor/dense.ts";
import type { Tensor } from "../tensor/types.ts";

/** A rounding: one scale, or one per channel, and the codes it uses, counted from the zero point. */
export interface Rounding {
  readonly scale: readonly number[];
  readonly low: number;
  readonly high: number;
}

/** Scales that came with a model. */
export interface Learned {
  /** By what the layer would read without rounding: the weight, or its product with a mask. */
  readonly weights: ReadonlyMap<Value, Rounding>;
  readonly activations: ReadonlyMap<Value, { readonly scale: number; readonly low: number }>;
  /** What is rounded, and the value it is rounded from. */
  readonly roundings: readonly (readonly [rounded: Value, value: Value])[];
}

export const nothingLearned: Learned = { weights: new Map(), activations: new Map(), roundings: [] };

const names = ["value", "scale", "low", "high"] as const;

/** The rounding itself. `name` is what it is called after. */
function write(emit: Emit, { value, scale, low, high }: Operands<(typeof names)[number]>, name = value.name): Written {
  const divided = emit.Div([value, scale]);
  const rounded = emit.named(`${name}_rounded`).Round([divided]);
  rounded.role = straightThrough;
  const result = emit.named(`${name}_fake_quantized`).Mul([emit.Clip([rounded, low, high]), scale]);
  return { result, division: divided.producer };
}

interface Written {
  readonly result: Value;
  /** The node that reads what is rounded. */
  readonly division: Node | undefined;
}

const operandsOf = pattern(names, (emit, operands) => write(emit, operands).result);

/** Writes the rounding of a value; scales stand in `dims`, which broadcast to it. */
export function round(emit: Emit, name: string, value: Value, rounding: Rounding, dims: readonly number[]): Written {
  const scale = emit.constant(float32(dims, rounding.scale), `${name}_scale`, buffer);
  const low = emit.constant(float32([], [rounding.low]), `${name}_low`, buffer);
  const high = emit.constant(float32([], [rounding.high]), `${name}_high`, buffer);
  return write(emit, { value, scale, low, high }, name);
}

/** The roundings of a model; it is not changed. */
export async function learnedScales(model: Model): Promise<Learned> {
  const weights = new Map<Value, Rounding>();
  const activations = new Map<Value, { readonly scale: number; readonly low: number }>();
  const roundings = roundingsOf(model);
  for (const [, { value, scale: stored, low, high }] of roundings) {
    const scale = toNumbers(await stored.read());
    if (isStored(value)) weights.set(value, { scale, low, high });
    else activations.set(value, { scale: scale[0] ?? 1, low });
  }
  return { weights, activations, roundings: roundings.map(([rounded, { value }]) => [rounded, value]) };
}

/** A copy in which nothing is rounded, and the names that its values have in the model: an output gets its name back from its rounding. */
export function withoutRoundings(model: Model): { readonly copy: Model; readonly nameOf: (value: Value) => string } {
  const copy = model.clone();
  const names = new Map([...copy.graph.values()].map((value) => [value, value.name]));
  for (const [rounded, { value }] of roundingsOf(copy)) replaceUses(rounded, value);
  removeUnused(copy.graph);
  return { copy, nameOf: (value) => names.get(value) ?? value.name };
}

/** Takes roundings out of a model, in place: of the weights of these layers, and of the activations that `goes` names. */
export function removeRoundings(
  model: Model,
  { roundings, activations }: Learned,
  layers: readonly Layer[],
  goes: (activation: Value) => boolean,
): void {
  if (roundings.length === 0) return;
  const from = new Map(roundings);
  for (const { node, role, effective } of layers) {
    const value = from.get(effective);
    if (value !== undefined) model.graph.setInput(node, role.input, value);
  }
  for (const [rounded, value] of roundings) {
    if (activations.has(value) && goes(value)) replaceUses(rounded, value);
  }
  removeUnused(model.graph);
}

function roundingsOf(model: Model): readonly (readonly [rounded: Value, found: Found])[] {
  return [...model.graph.nodes()].flatMap(({ outputs: [output] }) => {
    const found = output === undefined ? undefined : roundingAt(output);
    return output === undefined || found === undefined ? [] : [[output, found] as const];
  });
}

interface Found {
  readonly value: Value;
  readonly scale: Tensor;
  readonly low: number;
  readonly high: number;
}

/** The rounding that a value is the result of, if it is one. */
export function roundingAt(result: Value): Found | undefined {
  const { value, scale, low, high } = operandsOf(result) ?? {};
  const [lowest, highest] = [low?.tensor?.small, high?.tensor?.small];
  if (value === undefined || scale?.tensor === undefined || lowest === undefined || highest === undefined)
    return undefined;
  return { value, scale: scale.tensor, low: toNumbers(lowest)[0] ?? 0, high: toNumbers(highest)[0] ?? 0 };
}
