/** Reads and writes the activation functions that recurrent layers and fused products name in their attributes. */
import { type Emit, Miss, type Value } from "#graph";
import type { Site } from "../define.ts";
import { readFloats, readStrings } from "./attributes.ts";
import { range } from "./rules.ts";

export interface Activation {
  /** The name as in the attribute; "" for the identity. */
  readonly name: string;
  readonly parameters: readonly number[];
}

interface ActivationFunction {
  readonly defaults: readonly number[];
  readonly compute: (emit: Emit, x: Value, parameters: readonly number[]) => Value;
}

const defineFunction = (
  compute: ActivationFunction["compute"],
  ...defaults: readonly number[]
): ActivationFunction => ({ defaults, compute });

const functionsByName: ReadonlyMap<string, ActivationFunction> = new Map([
  ["", defineFunction((_, x) => x)],
  ["relu", defineFunction((emit, x) => emit.Relu([x]))],
  ["tanh", defineFunction((emit, x) => emit.Tanh([x]))],
  ["sigmoid", defineFunction((emit, x) => emit.Sigmoid([x]))],
  ["softsign", defineFunction((emit, x) => emit.Softsign([x]))],
  ["softplus", defineFunction((emit, x) => emit.Softplus([x]))],
  ["leakyrelu", defineFunction((emit, x, [alpha = 0]) => emit.LeakyRelu([x], { alpha }), 0.01)],
  ["elu", defineFunction((emit, x, [alpha = 0]) => emit.Elu([x], { alpha }), 1)],
  ["thresholdedrelu", defineFunction((emit, x, [alpha = 0]) => emit.ThresholdedRelu([x], { alpha }), 1)],
  ["hardsigmoid", defineFunction((emit, x, [alpha = 0, beta = 0]) => emit.HardSigmoid([x], { alpha, beta }), 0.2, 0.5)],
  ["affine", defineFunction((emit, x, [alpha = 0, beta = 0]) => emit.Add([emit.Mul([x, alpha]), beta]), 1, 0)],
  [
    "scaledtanh",
    defineFunction((emit, x, [alpha = 0, beta = 0]) => emit.Mul([emit.Tanh([emit.Mul([x, beta])]), alpha]), 1, 1),
  ],
  [
    "selu",
    defineFunction(
      (emit, x, [alpha = 0, gamma = 0]) => emit.Selu([x], { alpha, gamma }),
      1.6732632423543772,
      1.0507009873554805,
    ),
  ],
  [
    "clip",
    defineFunction(
      (emit, x, [low = 0, high = 0]) => emit.Clip([x, low, high]),
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ),
  ],
  ["quickgelu", defineFunction((emit, x, [alpha = 0]) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])]), 1.702)],
]);

/** Returns an activation, with ONNX's defaults for absent parameters; a Miss if the name is unknown. */
export function readActivation(name: string, parameters: readonly (number | undefined)[]): Activation | Miss {
  const defaults = functionsByName.get(name.toLowerCase())?.defaults;
  return defaults === undefined
    ? new Miss(`unknown activation "${name}"`)
    : { name, parameters: defaults.map((defaultValue, index) => parameters[index] ?? defaultValue) };
}

/**
 * Reads the activation functions of each direction of a recurrent layer. The attributes `activation_alpha` and `activation_beta` list values only for
 * the functions that have such a parameter, in order.
 */
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
  // The specification's default for an RNN lists names for two directions, so a layer with one direction can have an extra name.
  const isEnough =
    countPerDirection === 1 ? activations.length >= directions : activations.length === countPerDirection * directions;
  if (!isEnough) return new Miss(`names ${activations.length} activations, not ${countPerDirection * directions}`);
  return range(directions).map((direction) =>
    activations.slice(direction * countPerDirection, (direction + 1) * countPerDirection),
  );
}

export function writeActivation(emit: Emit, x: Value, { name, parameters }: Activation): Value {
  return functionsByName.get(name.toLowerCase())?.compute(emit, x, parameters) ?? x;
}
