/** Activation functions that are part of a recurrent layer or a fused product, by name. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Site } from "../define.ts";
import { decimals, texts } from "./attributes.ts";
import { range } from "./rules.ts";

export interface Activation {
  /** "" for none. */
  readonly name: string;
  readonly parameters: readonly number[];
}

interface Row {
  readonly defaults: readonly number[];
  readonly compute: (emit: Emit, x: Value, parameters: readonly number[]) => Value;
}

const row = (compute: Row["compute"], ...defaults: readonly number[]): Row => ({ defaults, compute });

const rows: ReadonlyMap<string, Row> = new Map([
  ["", row((_, x) => x)],
  ["relu", row((emit, x) => emit.Relu([x]))],
  ["tanh", row((emit, x) => emit.Tanh([x]))],
  ["sigmoid", row((emit, x) => emit.Sigmoid([x]))],
  ["softsign", row((emit, x) => emit.Softsign([x]))],
  ["softplus", row((emit, x) => emit.Softplus([x]))],
  ["leakyrelu", row((emit, x, [alpha = 0]) => emit.LeakyRelu([x], { alpha }), 0.01)],
  ["elu", row((emit, x, [alpha = 0]) => emit.Elu([x], { alpha }), 1)],
  ["thresholdedrelu", row((emit, x, [alpha = 0]) => emit.ThresholdedRelu([x], { alpha }), 1)],
  ["hardsigmoid", row((emit, x, [alpha = 0, beta = 0]) => emit.HardSigmoid([x], { alpha, beta }), 0.2, 0.5)],
  ["affine", row((emit, x, [alpha = 0, beta = 0]) => emit.Add([emit.Mul([x, alpha]), beta]), 1, 0)],
  ["scaledtanh", row((emit, x, [alpha = 0, beta = 0]) => emit.Mul([emit.Tanh([emit.Mul([x, beta])]), alpha]), 1, 1)],
  [
    "selu",
    row((emit, x, [alpha = 0, gamma = 0]) => emit.Selu([x], { alpha, gamma }), 1.6732632423543772, 1.0507009873554805),
  ],
  [
    "clip",
    row(
      (emit, x, [low = 0, high = 0]) => emit.Clip([x, low, high]),
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ),
  ],
  ["quickgelu", row((emit, x, [alpha = 0]) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])]), 1.702)],
]);

/** Reads an activation; absent parameters have ONNX's defaults. */
export function readActivation(name: string, parameters: readonly (number | undefined)[]): Activation | Miss {
  const defaults = rows.get(name.toLowerCase())?.defaults;
  return defaults === undefined
    ? new Miss(`unknown activation "${name}"`)
    : { name, parameters: defaults.map((byDefault, index) => parameters[index] ?? byDefault) };
}

/** Reads the activations of each direction. The attributes list alphas and betas for all functions that need one, in order. */
export function readActivations(
  site: Site,
  byDefault: readonly string[],
  directions: number,
): readonly (readonly Activation[])[] | Miss {
  const listed = texts(site, "activations") ?? [];
  const names = listed.length > 0 ? listed : range(directions).flatMap(() => byDefault);
  const lists = ["activation_alpha", "activation_beta"].map((name) => [...(decimals(site, name) ?? [])]);
  const activations: Activation[] = [];
  for (const name of names) {
    const parameters = lists.slice(0, rows.get(name.toLowerCase())?.defaults.length ?? 0);
    const activation = readActivation(
      name,
      parameters.map((list) => list.shift()),
    );
    if (activation instanceof Miss) return activation;
    activations.push(activation);
  }
  const count = byDefault.length;
  // The specification's default names cover two directions, so a single direction has spare names.
  const isEnough = count === 1 ? activations.length >= directions : activations.length === count * directions;
  if (!isEnough) return new Miss(`names ${activations.length} activations, not ${count * directions}`);
  return range(directions).map((direction) => activations.slice(direction * count, (direction + 1) * count));
}

export function activate(emit: Emit, x: Value, { name, parameters }: Activation): Value {
  return rows.get(name.toLowerCase())?.compute(emit, x, parameters) ?? x;
}
