/** Activation functions of recurrent layers, by name. Parameters are listed for all functions that need one, in order; missing ones have defaults. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Site } from "../define.ts";
import { decimals, texts } from "./attributes.ts";

export interface Activation {
  readonly name: string;
  readonly alpha: number;
  readonly beta: number;
}

interface Row {
  readonly alpha?: number;
  readonly beta?: number;
  readonly compute: (emit: Emit, x: Value, parameters: { readonly alpha: number; readonly beta: number }) => Value;
}

const rows: Readonly<Record<string, Row>> = {
  relu: { compute: (emit, x) => emit.Relu([x]) },
  tanh: { compute: (emit, x) => emit.Tanh([x]) },
  sigmoid: { compute: (emit, x) => emit.Sigmoid([x]) },
  softsign: { compute: (emit, x) => emit.Softsign([x]) },
  softplus: { compute: (emit, x) => emit.Softplus([x]) },
  leakyrelu: { alpha: 0.01, compute: (emit, x, { alpha }) => emit.LeakyRelu([x], { alpha }) },
  elu: { alpha: 1, compute: (emit, x, { alpha }) => emit.Elu([x], { alpha }) },
  thresholdedrelu: { alpha: 1, compute: (emit, x, { alpha }) => emit.ThresholdedRelu([x], { alpha }) },
  hardsigmoid: { alpha: 0.2, beta: 0.5, compute: (emit, x, { alpha, beta }) => emit.HardSigmoid([x], { alpha, beta }) },
  affine: { alpha: 1, beta: 0, compute: (emit, x, { alpha, beta }) => emit.Add([emit.Mul([x, alpha]), beta]) },
  scaledtanh: {
    alpha: 1,
    beta: 1,
    compute: (emit, x, { alpha, beta }) => emit.Mul([emit.Tanh([emit.Mul([x, beta])]), alpha]),
  },
};

export function readActivations(
  site: Site,
  byDefault: readonly string[],
  directions: number,
): readonly (readonly Activation[])[] | Miss {
  const names = texts(site, "activations") ?? [];
  const given = names.length > 0 ? names : Array.from({ length: directions }, () => byDefault).flat();
  const alphas = [...(decimals(site, "activation_alpha") ?? [])];
  const betas = [...(decimals(site, "activation_beta") ?? [])];
  const found: Activation[] = [];
  for (const name of given) {
    const row = rows[name.toLowerCase()];
    if (row === undefined) return new Miss(`there is no activation "${name}"`);
    const alpha = row.alpha === undefined ? 0 : (alphas.shift() ?? row.alpha);
    const beta = row.beta === undefined ? 0 : (betas.shift() ?? row.beta);
    found.push({ name: name.toLowerCase(), alpha, beta });
  }
  const needed = byDefault.length * directions;
  // The specification's default names cover two directions, so a single direction has spare names.
  const isEnough = byDefault.length === 1 ? found.length >= needed : found.length === needed;
  if (!isEnough) return new Miss(`names ${found.length} activations, not ${needed}`);
  return Array.from({ length: directions }, (_, at) => found.slice(at * byDefault.length, (at + 1) * byDefault.length));
}

export function activation(emit: Emit, how: Activation | undefined, x: Value): Value {
  const row = how === undefined ? undefined : rows[how.name];
  if (how === undefined || row === undefined) throw new RangeError(`there is no activation "${how?.name}"`);
  return row.compute(emit, x, how);
}
