/** Finds the fake quantization of a model. Integer schemes use its scales instead of measured ranges. */
import type { Layer } from "../../core/analysis/layers.ts";
import { isStored } from "../../core/analysis/stored-root.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { removeUnused } from "../../core/graph/remove-unused.ts";
import { replaceUses } from "../../core/graph/replace.ts";
import { type FakeRounding, type FoundRounding, roundingAt } from "./rounding.ts";

export interface WeightRounding extends FakeRounding {
  /** Axis of the scales; undefined for a single scale. */
  readonly axis: number | undefined;
}

export interface ModelRoundings {
  /** By the value that layers would read without rounding: the weight, or its masked product. Layers can use different axes. */
  readonly weights: ReadonlyMap<Value, readonly WeightRounding[]>;
  readonly activations: ReadonlyMap<Value, { readonly scale: number; readonly low: number }>;
  readonly roundings: readonly (readonly [rounded: Value, value: Value])[];
}

export const noRoundings: ModelRoundings = { weights: new Map(), activations: new Map(), roundings: [] };

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

export function dropRoundings(model: Model): void {
  for (const [rounded, { value }] of roundingsOf(model)) replaceUses(rounded, value);
  removeUnused(model.graph);
}

/** Removes fake quantization in place: of the weights of these layers, and of the activations for which `goes` returns true. */
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
