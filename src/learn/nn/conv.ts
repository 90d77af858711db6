/** Convolutions in one and two dimensions, as modules. */
import { optionError } from "#ir";
import { layerParameters, type Module, perAxis, requireCount, requireDims } from "./module.ts";

export interface ConvOptions {
  /** Distance between output positions (1): one number for all axes, or one per axis. */
  readonly stride?: number | readonly number[];
  /** Zeros before and after each axis (0). */
  readonly padding?: number | readonly number[];
  /** Distance between kernel positions (1). */
  readonly dilation?: number | readonly number[];
  /** Number of channel groups (1); with one channel per group the convolution is depthwise. */
  readonly groups?: number;
  readonly bias?: boolean;
}

/**
 * A convolution over [batch, channels, length]: weight [outputs, inputs / groups, kernel], bias [outputs], named and initialized as PyTorch's
 * `nn.Conv1d`.
 * @throws PithError E_SHAPE_MISMATCH if x has other channels, E_OPTION for a size below 1 or groups that do not divide the channels.
 * @example
 * const net = network({ conv: conv1d(1, 8, 5, { padding: 2 }), relu: relu() }, { input: ["batch", 1, 100], seed: 1 });
 */
export function conv1d(inputs: number, outputs: number, kernel: number, options: ConvOptions = {}): Module {
  return convolution(1, inputs, outputs, kernel, options);
}

/**
 * A convolution over [batch, channels, height, width]: weight [outputs, inputs / groups, height, width], bias [outputs], named and initialized
 * as PyTorch's `nn.Conv2d`.
 * @throws PithError E_SHAPE_MISMATCH if x has other channels, E_OPTION for a size below 1 or groups that do not divide the channels.
 * @example
 * const net = network({ conv: conv2d(3, 16, 3, { stride: 2, padding: 1 }) }, { input: ["batch", 3, 32, 32], seed: 1 });
 */
export function conv2d(
  inputs: number,
  outputs: number,
  kernel: number | readonly number[],
  options: ConvOptions = {},
): Module {
  return convolution(2, inputs, outputs, kernel, options);
}

function convolution(
  axes: number,
  inputs: number,
  outputs: number,
  kernel: number | readonly number[],
  options: ConvOptions,
): Module {
  const moduleName = `conv${axes}d`;
  const groups = requireCount(`${moduleName}: groups`, options.groups ?? 1);
  requireCount(`${moduleName}: inputs`, inputs);
  requireCount(`${moduleName}: outputs`, outputs);
  if (inputs % groups !== 0 || outputs % groups !== 0)
    throw optionError(
      `${moduleName}: ${inputs} input and ${outputs} output channels are not divisible by ${groups} groups.`,
    );
  const kernels = perAxis(`${moduleName}: kernel`, kernel, axes, 1);
  const strides = perAxis(`${moduleName}: stride`, options.stride ?? 1, axes, 1);
  const padding = perAxis(`${moduleName}: padding`, options.padding ?? 0, axes, 0);
  const dilations = perAxis(`${moduleName}: dilation`, options.dilation ?? 1, axes, 1);
  return (scope, x) => {
    requireDims(moduleName, scope, x, ["batch", inputs, ...(axes === 1 ? ["length"] : ["height", "width"])]);
    const { weight, bias } = layerParameters(scope, [outputs, inputs / groups, ...kernels], options.bias !== false);
    return scope.emit
      .named(`${scope.name}.output`)
      .Conv([x, weight, bias], {
        kernel_shape: kernels,
        strides,
        dilations,
        group: groups,
        pads: [...padding, ...padding],
      });
  };
}
