import { dimsText } from "#ir";
import { affineParameters, type Module, mismatch, requireCount, requireWidth, storeTensor } from "./module.ts";

/**
 * y = (x - mean) / √(variance + 1e-5) · weight + bias per channel of [batch, channels, …], with PyTorch's names: weight, bias, running_mean,
 * running_var. The graph is for inference. A training step normalizes with batch statistics and updates the running ones.
 * @throws PithError E_SHAPE_MISMATCH if x has other channels.
 * @example
 * const block = sequential({ conv: conv2d(3, 16, 3, { padding: 1, bias: false }), bn: batchNorm(16), relu: relu() });
 */
export function batchNorm(channels: number): Module {
  requireCount("batchNorm: channels", channels);
  return (scope, x) => {
    const { emit, name } = scope;
    const dims = x.type?.dims;
    if (dims === undefined || dims.length < 2 || dims[1] !== channels)
      throw mismatch("batchNorm", name, `[batch, ${channels}, …]`, dimsText(dims), "Check the layer before it.");
    const { weight, bias } = affineParameters(scope, channels);
    const mean = storeTensor(scope, "running_mean", [channels], () => 0, { kind: "state" });
    const variance = storeTensor(scope, "running_var", [channels], () => 1, { kind: "state" });
    return emit
      .named(`${name}.output`)
      .BatchNormalization([x, weight, bias, mean, variance], { epsilon: 1e-5, momentum: 0.9 });
  };
}

/**
 * y = (x - mean) / √(variance + 1e-5) · weight + bias over the last axis of […, width], as PyTorch's `nn.LayerNorm`.
 * @throws PithError E_SHAPE_MISMATCH if x is not of that width.
 * @example
 * const block = residual({ norm: layerNorm(64), fc: linear(64, 64) });
 */
export function layerNorm(width: number): Module {
  requireCount("layerNorm: width", width);
  return (scope, x) => {
    requireWidth("layerNorm", scope, x, width, 2);
    const { weight, bias } = affineParameters(scope, width);
    return scope.emit.named(`${scope.name}.output`).LayerNormalization([x, weight, bias], { axis: -1, epsilon: 1e-5 });
  };
}
