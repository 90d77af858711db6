/**
 * The roundings that a model has already, written by `fakeQuantize` and perhaps trained since: what they round, their scales, and the model
 * without them. Who rounds to integers takes these scales rather than measuring ranges.
 */
import type { Layer } from "../analysis/layers.ts";
import { isStored } from "../analysis/stored-root.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { removeUnused } from "../passes/remove-unused.ts";
import { type FakeRounding, type FoundRounding, roundingAt } from "./rounding.ts";

export interface WeightRounding extends FakeRounding {
  /** Along which its scales lie; undefined of one scale. */
  readonly axis: number | undefined;
}

/** What a model rounds already, and by which scales. */
export interface ModelRoundings {
  /** By what layers would read without rounding: the weight, or its product with a mask. Layers may round it along different axes. */
  readonly weights: ReadonlyMap<Value, readonly WeightRounding[]>;
  readonly activations: ReadonlyMap<Value, { readonly scale: number; readonly low: number }>;
  readonly roundings: readonly (readonly [rounded: Value, value: Value])[];
}

export const noRoundings: ModelRoundings = { weights: new Map(), activations: new Map(), roundings: [] };

/** The roundings of a model; it is not changed. */
export async function roundingsIn(model: Model): Promise<ModelRoundings> {
  const weights = new Map<Value, WeightRounding[]>();
  const activations = new Map<Value, { readonly scale: number; readonly low: number }>();
  const roundings = roundingsOf(model);
  for (const [, found] of roundings) {
    const { value, low, high, axis } = found;
    const scale = await found.scales();
    if (isStored(value)) weights.set(value, [...(weights.get(value) ?? []), { scale, low, high, axis }]);
    else activations.set(value, { scale: scale[0] ?? 1, low });
  }
  return { weights, activations, roundings: roundings.map(([rounded, { value }]) => [rounded, value]) };
}

/** Takes all roundings out of a model, in place. */
export function dropRoundings(model: Model): void {
  for (const [rounded, { value }] of roundingsOf(model)) replaceUses(rounded, value);
  removeUnused(model.graph);
}

/** Takes roundings out of a model, in place: of the weights of these layers, and of the activations that `goes` names. */
export function removeRoundings(
  model: Model,
  { roundings, activations }: ModelRoundings,
  layers: readonly Layer[],
  goes: (activation: Value) => boolean,
): void {
  if (roundings.length === 0) return;
  const from = new Map(roundings);
  for (const { node, role, effective } of layers) {
    const value = from.get(effective);
    if (value !== undefined) node.graph.setInput(node, role.input, value);
  }
  for (const [rounded, value] of roundings) {
    if (activations.has(value) && goes(value)) replaceUses(rounded, value);
  }
  removeUnused(model.graph);
}

function roundingsOf(model: Model): readonly (readonly [rounded: Value, found: FoundRounding])[] {
  return [...model.graph.nodes()].flatMap(({ outputs: [output] }) => {
    const found = output === undefined ? undefined : roundingAt(output);
    return output === undefined || found === undefined ? [] : [[output, found] as const];
  });
}
