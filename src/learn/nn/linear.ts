import { dimsText } from "#ir";
import { layerParameters, type Module, mismatch } from "./module.ts";

/**
 * y = x · Wᵀ + b for x of shape […, inputs], with W [outputs, inputs] and b [outputs], initialized as in PyTorch: uniform in ±1/√inputs.
 * @throws PithError E_SHAPE_MISMATCH if x is not of that width.
 * @example
 * const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
 */
export function linear(inputs: number, outputs: number, options: { readonly bias?: boolean | undefined } = {}): Module {
  return (scope, x) => {
    const { emit, name } = scope;
    const dims = x.type?.dims;
    if (dims === undefined || dims.length < 2 || dims.at(-1) !== inputs) {
      const isFeatureMap = dims !== undefined && dims.length > 3;
      const hint = isFeatureMap ? "Put flatten() before it." : "Check the layer before it.";
      throw mismatch("linear", name, `[…, ${inputs}]`, dimsText(dims), hint);
    }
    const { weight, bias } = layerParameters(scope, [outputs, inputs], options.bias !== false);
    const result = emit.named(`${name}.output`);
    if (dims.length === 2) return result.Gemm([x, weight, bias], { transB: 1 });
    // MatMul has no option for transposition.
    const transposedWeight = emit.named(`${name}.transposed`).Transpose([weight], { perm: [1, 0] });
    if (bias === undefined) return result.MatMul([x, transposedWeight]);
    return result.Add([emit.named(`${name}.product`).MatMul([x, transposedWeight]), bias]);
  };
}
