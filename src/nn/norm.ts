/** Normalization, with running statistics or without. */
import { dimsText } from "../tensor/dims.ts";
import { affineParameters, stored } from "./initial.ts";
import { type Module, mismatch, requireCount, requireWidth } from "./module.ts";

export interface BatchNormOptions {
  /** Added to the variance, 1e-5 unless told. */
  readonly epsilon?: number;
  /** The share that a batch has in the running statistics after it, 0.1 unless told, as PyTorch counts it (ONNX counts the rest). */
  readonly momentum?: number;
}

/**
 * y = (x - mean) / √(variance + ε) · weight + bias for each channel of [batch, channels, …], named as PyTorch's `nn.BatchNorm2d`: weight, bias,
 * running_mean, running_var.
 *
 * The graph normalizes with the running statistics, so the file is for inference as it is. Their role is `state`: while its weight or bias is
 * trained, a step normalizes with the mean and variance of the batch, and lets them flow into the running statistics.
 * @throws PithError E_SHAPE_MISMATCH if x has other channels.
 * @example
 * const block = sequential({ conv: conv2d(3, 16, 3, { padding: 1, bias: false }), bn: batchNorm(16), relu: relu() });
 */
export function batchNorm(channels: number, options: BatchNormOptions = {}): Module {
  requireCount("batchNorm: channels", channels);
  const { epsilon = 1e-5, momentum = 0.1 } = options;
  return (scope, x) => {
    const { emit, name } = scope;
    const dims = x.type?.dims;
    if (dims === undefined || dims.length < 2 || dims[1] !== channels)
      throw mismatch("batchNorm", name, `[batch, ${channels}, …]`, dimsText(dims), "Check the layer before it.");
    const { weight, bias } = affineParameters(scope, channels);
    const mean = stored(scope, "running_mean", [channels], () => 0, { kind: "state" });
    const variance = stored(scope, "running_var", [channels], () => 1, { kind: "state" });
    return emit
      .named(`${name}.output`)
      .BatchNormalization([x, weight, bias, mean, variance], { epsilon, momentum: 1 - momentum });
  };
}

/**
 * y = (x - mean) / √(variance + ε) · weight + bias over the last axis of […, width], as PyTorch's `nn.LayerNorm`.
 * @throws PithError E_SHAPE_MISMATCH if x is not of that width.
 * @example
 * const block = residual({ norm: layerNorm(64), fc: linear(64, 64) });
 */
export function layerNorm(width: number, options: { readonly epsilon?: number } = {}): Module {
  requireCount("layerNorm: width", width);
  return (scope, x) => {
    requireWidth("layerNorm", scope, x, width, 2);
    const { weight, bias } = affineParameters(scope, width);
    return scope.emit
      .named(`${scope.name}.output`)
      .LayerNormalization([x, weight, bias], { axis: -1, epsilon: options.epsilon ?? 1e-5 });
  };
}
