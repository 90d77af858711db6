/** Activation functions that recurrent layers and fused products name in their attributes. */
import { type Emit, Miss, type Value } from "#graph";
import type { Site } from "../define.ts";
import { readFloats, readStrings } from "./attributes.ts";
import { range } from "./shapes.ts";

export interface Activation {
  /** "" for the identity. */
  readonly name: string;
  readonly parameters: readonly number[];
}

interface ActivationFunction {
  readonly defaults: readonly number[];
  readonly compute: (emit: Emit, x: Value, first: number, second: number) => Value;
}

/** By name in lower case. */
const functions: Readonly<Record<string, ActivationFunction>> = {
  "": { defaults: [], compute: (_, x) => x },
  relu: { defaults: [], compute: (emit, x) => emit.Relu([x]) },
  tanh: { defaults: [], compute: (emit, x) => emit.Tanh([x]) },
  sigmoid: { defaults: [], compute: (emit, x) => emit.Sigmoid([x]) },
  softsign: { defaults: [], compute: (emit, x) => emit.Softsign([x]) },
  softplus: { defaults: [], compute: (emit, x) => emit.Softplus([x]) },
  leakyrelu: { defaults: [0.01], compute: (emit, x, alpha) => emit.LeakyRelu([x], { alpha }) },
  elu: { defaults: [1], compute: (emit, x, alpha) => emit.Elu([x], { alpha }) },
  thresholdedrelu: { defaults: [1], compute: (emit, x, alpha) => emit.ThresholdedRelu([x], { alpha }) },
  hardsigmoid: { defaults: [0.2, 0.5], compute: (emit, x, alpha, beta) => emit.HardSigmoid([x], { alpha, beta }) },
  affine: { defaults: [1, 0], compute: (emit, x, alpha, beta) => emit.Add([emit.Mul([x, alpha]), beta]) },
  scaledtanh: {
    defaults: [1, 1],
    compute: (emit, x, alpha, beta) => emit.Mul([emit.Tanh([emit.Mul([x, beta])]), alpha]),
  },
  selu: {
    defaults: [1.6732632423543772, 1.0507009873554805],
    compute: (emit, x, alpha, gamma) => emit.Selu([x], { alpha, gamma }),
  },
  clip: {
    defaults: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    compute: (emit, x, low, high) => emit.Clip([x, low, high]),
  },
  quickgelu: { defaults: [1.702], compute: (emit, x, alpha) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])]) },
};

const functionsByName: ReadonlyMap<string, ActivationFunction> = new Map(Object.entries(functions));

export function readActivation(name: string, parameters: readonly (number | undefined)[]): Activation | Miss {
  const defaults = functionsByName.get(name.toLowerCase())?.defaults;
  return defaults === undefined
    ? new Miss(`unknown activation "${name}"`)
    : { name, parameters: defaults.map((defaultValue, index) => parameters[index] ?? defaultValue) };
}

/** The attributes `activation_alpha` and `activation_beta` list values for the functions with such a parameter, in order. */
export function readActivations(
  site: Site,
  defaultNames: readonly string[],
  directions: number,
): readonly (readonly Activation[])[] | Miss {
  const listedNames = readStrings(site, "activations") ?? [];
  const names = listedNames.length > 0 ? listedNames : range(directions).flatMap(() => defaultNames);
  const parameterLists = ["activation_alpha", "activation_beta"].map((name) => [...(readFloats(site, name) ?? [])]);
  const activations: Activation[] = [];
  for (const name of names) {
    const parameters = parameterLists.slice(0, functionsByName.get(name.toLowerCase())?.defaults.length ?? 0);
    const activation = readActivation(
      name,
      parameters.map((list) => list.shift()),
    );
    if (activation instanceof Miss) return activation;
    activations.push(activation);
  }
  const countPerDirection = defaultNames.length;
  // The specification's default for an RNN lists two names, also for one direction.
  const isEnough =
    countPerDirection === 1 ? activations.length >= directions : activations.length === countPerDirection * directions;
  if (!isEnough) return new Miss(`names ${activations.length} activations, not ${countPerDirection * directions}`);
  return range(directions).map((direction) =>
    activations.slice(direction * countPerDirection, (direction + 1) * countPerDirection),
  );
}

export function writeActivation(emit: Emit, x: Value, { name, parameters }: Activation): Value {
  const [first = 0, second = 0] = parameters;
  return functionsByName.get(name.toLowerCase())?.compute(emit, x, first, second) ?? x;
}
