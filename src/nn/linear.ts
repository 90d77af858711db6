import { PithError } from "../errors.ts";
import { parameter } from "../graph/role.ts";
import { float32 } from "../tensor/dense.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Module } from "./module.ts";

/**
 * y = x · Wᵀ + b, for x of shape [batch, inputs]: W is [outputs, inputs] and b [outputs], as in PyTorch, and so are the initial values:
 * uniform in ±1/√inputs (He et al. 2015 with a = √5).
 * @throws PithError E_SHAPE_MISMATCH if x is no matrix of that width.
 * @example
 * const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
 */
export function linear(inputs: number, outputs: number, options: { readonly bias?: boolean } = {}): Module {
  return ({ emit, name, random }, x) => {
    const dims = x.type?.dims;
    if (dims?.length !== 2 || dims[1] !== inputs) {
      throw new PithError("E_SHAPE_MISMATCH", `linear "${name}": expected [batch, ${inputs}], got ${dimsText(dims)}.`, {
        hint: dims !== undefined && dims.length > 2 ? "Put flatten() before it." : "Check the layer before it.",
      });
    }
    const bound = 1 / Math.sqrt(inputs);
    const draw = (count: number): Float32Array =>
      Float32Array.from({ length: count }, () => random.uniform(-bound, bound));
    const weight = emit.constant(float32([outputs, inputs], draw(outputs * inputs)), `${name}.weight`, parameter);
    const bias =
      options.bias === false ? undefined : emit.constant(float32([outputs], draw(outputs)), `${name}.bias`, parameter);
    return emit.named(`${name}.output`).Gemm([x, weight, bias], { transB: 1 });
  };
}
