/** Pooling as modules: maximum and mean of windows, and the mean of all positions. */
import { dimsText, optionError, type Value } from "#ir";
import { type Module, type ModuleScope, mismatch, perAxis } from "./module.ts";

export interface PoolOptions {
  /** Default: the window size. */
  readonly stride?: number | readonly number[];
  /** Padding before and after each axis (0). Maxima ignore it; means count it as zeros. */
  readonly padding?: number | readonly number[];
}

/**
 * Returns the maximum of each window, as PyTorch's `nn.MaxPool1d` and `nn.MaxPool2d`.
 * @throws PithError E_SHAPE_MISMATCH if x is not [batch, channels, …], E_OPTION for a padding of more than half a window.
 * @example
 * const net = network({ pool: maxPool(2) }, { input: ["batch", 3, 32, 32], seed: 1 }); // [batch, 3, 16, 16]
 */
export function maxPool(window: number | readonly number[], options: PoolOptions = {}): Module {
  return (scope, x) =>
    scope.emit.named(`${scope.name}.output`).MaxPool([x], windowOf("maxPool", window, options, scope, x));
}

/**
 * The mean of each window, as PyTorch's `nn.AvgPool1d` and `nn.AvgPool2d`.
 * @throws PithError E_SHAPE_MISMATCH if x is not [batch, channels, …], E_OPTION for a padding of more than half a window.
 * @example
 * const net = network({ pool: averagePool(3, { stride: 2, padding: 1 }) }, { input: ["batch", 3, 32, 32], seed: 1 });
 */
export function averagePool(window: number | readonly number[], options: PoolOptions = {}): Module {
  return (scope, x) =>
    scope.emit
      .named(`${scope.name}.output`)
      .AveragePool([x], { ...windowOf("averagePool", window, options, scope, x), count_include_pad: 1 });
}

/**
 * The mean of each channel: [batch, channels, height, width] → [batch, channels, 1, 1], as PyTorch's `nn.AdaptiveAvgPool2d(1)`.
 * @throws PithError E_SHAPE_MISMATCH if x is not [batch, channels, …].
 * @example
 * const net = network({ pool: globalAveragePool(), flatten: flatten(), fc: linear(8, 2) }, { input: ["batch", 8, 4, 4], seed: 1 });
 */
export function globalAveragePool(): Module {
  return (scope, x) => {
    spatialAxes("globalAveragePool", scope, x);
    return scope.emit.named(`${scope.name}.output`).GlobalAveragePool([x]);
  };
}

function windowOf(
  moduleName: string,
  window: number | readonly number[],
  options: PoolOptions,
  scope: ModuleScope,
  x: Value,
): { kernel_shape: number[]; strides: number[]; pads: number[] } {
  const axes = spatialAxes(moduleName, scope, x);
  const sizes = perAxis(`${moduleName}: window`, window, axes, 1);
  const padding = perAxis(`${moduleName}: padding`, options.padding ?? 0, axes, 0);
  // A window could otherwise contain only padding.
  const axisWithWidePadding = padding.findIndex((size, axis) => 2 * size > (sizes[axis] ?? 0));
  if (axisWithWidePadding >= 0)
    throw optionError(
      `${moduleName}: a padding of ${padding[axisWithWidePadding]} is more than half of ${sizes[axisWithWidePadding]}.`,
    );
  return {
    kernel_shape: sizes,
    strides: perAxis(`${moduleName}: stride`, options.stride ?? sizes, axes, 1),
    pads: [...padding, ...padding],
  };
}

function spatialAxes(moduleName: string, scope: ModuleScope, x: Value): number {
  const dims = x.type?.dims;
  if (dims === undefined || dims.length < 3)
    throw mismatch(moduleName, scope.name, "[batch, channels, …]", dimsText(dims), "Put it before flatten().");
  return dims.length - 2;
}
