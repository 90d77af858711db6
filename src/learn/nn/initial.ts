/** Initial values from PyTorch's distributions, with Pith's random generator. */
import type { Value } from "../../core/graph/graph.ts";
import { parameter, type Role } from "../../core/graph/role.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { ModuleScope } from "./module.ts";

/** Weight and bias uniform in ±1/√(inputs per output): He et al. 2015 with a = √5. */
export function layerParameters(
  scope: ModuleScope,
  dims: readonly number[],
  bias: boolean,
): { readonly weight: Value; readonly bias: Value | undefined } {
  const [outputs = 1, ...rest] = dims;
  const bound = 1 / Math.sqrt(elementCount(rest));
  const draw = (): number => scope.random.uniform(-bound, bound);
  return {
    weight: stored(scope, "weight", dims, draw),
    bias: bias ? stored(scope, "bias", [outputs], draw) : undefined,
  };
}

export function affineParameters(scope: ModuleScope, size: number): { readonly weight: Value; readonly bias: Value } {
  return { weight: stored(scope, "weight", [size], () => 1), bias: stored(scope, "bias", [size], () => 0) };
}

export function stored(
  { emit, name }: ModuleScope,
  own: string,
  dims: readonly number[],
  entry: () => number,
  role: Role = parameter,
): Value {
  const data = Float32Array.from({ length: elementCount(dims) }, entry);
  return emit.constant(float32(dims, data), `${name}.${own}`, role);
}
