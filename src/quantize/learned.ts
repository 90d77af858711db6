/**
 * Fake quantization: rounding written as float arithmetic, so that it can be trained through.
 *
 *     w' = Mul(Clip(Round(Div(w, s)), low, high), s)
 *
 * `Round` has the role `straight-through`: its gradient passes, that of `Clip` is 0 outside the range. Codes count from the zero point:
 * uint8 with zero point z is low = -z, high = 255 - z, so no addition is needed and w' = 0 where w = 0. Round is half to even, as in
 * QuantizeLinear: what is trained is what is exported.
 */
import type { Emit } from "../graph/emit.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { buffer, straightThrough } from "../graph/role.ts";
import { removeUnused } from "../passes/remove-unused.ts";
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

/** Writes the rounding of a value; scales stand in `dims`, which broadcast to it. `division` is the node that reads the value. */
export function round(
  emit: Emit,
  name: string,
  value: Value,
  rounding: Rounding,
  dims: readonly number[],
): { readonly result: Value; readonly division: Node | undefined } {
  const scale = emit.constant(float32(dims, rounding.scale), `${name}_scale`, buffer);
  const divided = emit.Div([value, scale]);
  const rounded = emit.named(`${name}_rounded`).Round([divided]);
  rounded.role = straightThrough;
  const low = emit.constant(float32([], [rounding.low]), `${name}_low`, buffer);
  const high = emit.constant(float32([], [rounding.high]), `${name}_high`, buffer);
  const result = emit.named(`${name}_fake_quantized`).Mul([emit.Clip([rounded, low, high]), scale]);
  return { result, division: divided.producer };
}

/** The roundings of a model; it is not changed. */
export async function learnedScales(model: Model): Promise<Learned> {
  const weights = new Map<Value, Rounding>();
  const activations = new Map<Value, { readonly scale: number; readonly low: number }>();
  const roundings: (readonly [Value, Value])[] = [];
  for (const node of model.graph.nodes()) {
    const [output] = node.outputs;
    const found = output === undefined ? undefined : roundingAt(output);
    if (output === undefined || found === undefined) continue;
    const { value, low, high } = found;
    const scale = toNumbers(await found.scale.read());
    if (isStored(value)) weights.set(value, { scale, low, high });
    else activations.set(value, { scale: scale[0] ?? 1, low });
    roundings.push([output, value]);
  }
  return { weights, activations, roundings };
}

/** Takes the roundings out of a model, in place. */
export function removeRoundings(model: Model, { roundings }: Learned): void {
  for (const [rounded, value] of roundings) model.graph.replaceUses(rounded, value);
  if (roundings.length > 0) removeUnused(model.graph);
}

interface Found {
  readonly value: Value;
  readonly scale: Tensor;
  readonly low: number;
  readonly high: number;
}

/** The rounding that a value is the result of, if it is one. */
export function roundingAt(value: Value): Found | undefined {
  const product = operands(value, "Mul");
  const [rounded, low, high] = operands(product?.[0], "Clip") ?? [];
  const divided = rounded?.role?.kind === "straight-through" ? operands(rounded, "Round")?.[0] : undefined;
  const [from, scale] = operands(divided, "Div") ?? [];
  if (from === undefined || scale?.tensor === undefined || scale !== product?.[1]) return undefined;
  const [lowest, highest] = [low, high].map((bound) => bound?.tensor?.small);
  if (lowest === undefined || highest === undefined) return undefined;
  return { value: from, scale: scale.tensor, low: toNumbers(lowest)[0] ?? 0, high: toNumbers(highest)[0] ?? 0 };
}

function operands(value: Value | undefined, op: string): readonly (Value | undefined)[] | undefined {
  const node = value?.producer;
  return node?.op === op && node.domain === "" ? node.inputs : undefined;
}

/** A weight, or what a mask makes of one. */
function isStored(value: Value): boolean {
  if (value.tensor !== undefined) return true;
  const inputs = value.producer?.inputs ?? [];
  return inputs.length > 0 && inputs.every((input) => input === undefined || isStored(input));
}
