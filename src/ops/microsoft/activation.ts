/** Activations fused into a product, by name and parameters. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";

export interface Activation {
  /** "" for none. */
  readonly name: string;
  readonly parameters: readonly number[];
}

type Rule = (emit: Emit, x: Value, parameters: readonly number[]) => Value;

/** Absent parameters have ONNX's defaults. */
const rules: Readonly<Record<string, Rule>> = {
  Relu: (emit, x) => emit.Relu([x]),
  Sigmoid: (emit, x) => emit.Sigmoid([x]),
  Tanh: (emit, x) => emit.Tanh([x]),
  Softplus: (emit, x) => emit.Softplus([x]),
  Softsign: (emit, x) => emit.Softsign([x]),
  LeakyRelu: (emit, x, [alpha = 0.01]) => emit.LeakyRelu([x], { alpha }),
  Elu: (emit, x, [alpha = 1]) => emit.Elu([x], { alpha }),
  HardSigmoid: (emit, x, [alpha = 0.2, beta = 0.5]) => emit.HardSigmoid([x], { alpha, beta }),
  Selu: (emit, x, [alpha = 1.6732632423543772, gamma = 1.0507009873554805]) => emit.Selu([x], { alpha, gamma }),
  ThresholdedRelu: (emit, x, [alpha = 1]) => emit.ThresholdedRelu([x], { alpha }),
  Clip: (emit, x, [low = Number.NEGATIVE_INFINITY, high = Number.POSITIVE_INFINITY]) => emit.Clip([x, low, high]),
  QuickGelu: (emit, x, [alpha = 1.702]) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])]),
};

export function readActivation(name: string, parameters: readonly number[]): Activation | Miss {
  if (name !== "" && !Object.hasOwn(rules, name)) return new Miss(`its activation "${name}" is not known`);
  return { name, parameters };
}

export function activate(emit: Emit, x: Value, { name, parameters }: Activation): Value {
  return rules[name]?.(emit, x, parameters) ?? x;
}
