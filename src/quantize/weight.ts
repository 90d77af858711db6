/** A weight as 8-bit codes in front of its layer: `fc1.weight` becomes `fc1.weight_quantized`, its scale and its zero point. */
import type { Layer } from "../analysis/layers.ts";
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import {
  channelRanges,
  type QuantizationRange,
  type QuantizedTensor,
  quantizationRange,
  quantizeTensor,
  scaleAndZeroPoint,
} from "../math/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { type ModelRoundings, noRoundings } from "./model-roundings.ts";

export interface WeightSettings {
  readonly type: "int8" | "uint8";
  readonly perChannel: boolean;
}

/** Why a layer's weight cannot become codes, if so. */
export function weightMiss(layer: Layer): Miss | undefined {
  const { type } = layer.effective;
  const dims = fixedDims(type?.dims);
  if (type === undefined || dims === undefined)
    return new Miss("the dimensions of its weight are not known", layer.name);
  if (["int8", "uint8", "int4", "uint4", "int32"].includes(type.type) || isCodes(layer.weight))
    return new Miss("is quantized already", layer.name);
  if (type.type !== "float32") return new Miss(`its weight is ${type.type}; only float32 is quantized`, layer.name);
  return elementCount(dims) === 0 ? new Miss("its weight has no elements", layer.name) : undefined;
}

/** How a weight becomes codes, as `quantizeTensor` takes it. */
export interface WeightRule {
  readonly type: "int8" | "uint8";
  readonly axis: number | undefined;
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly range: QuantizationRange;
}

/**
 * One scale per output channel, or one for all: learned with the model, else from the range of the numbers. Several scales need equal zero
 * points (ONNX Runtime's integer kernels know one), so the range per channel is symmetric whatever the type.
 */
export function weightRule(
  layer: Layer,
  dense: Dense,
  settings: WeightSettings,
  existing: ModelRoundings = noRoundings,
): WeightRule {
  const { type, perChannel } = settings;
  const known = existing.weights.get(layer.effective);
  if (known !== undefined) {
    const { scale, low, high } = known;
    const zero = type === "int8" ? 0 : 128;
    return {
      type,
      axis: scale.length === 1 ? undefined : layer.role.out,
      scale,
      zeroPoint: scale.map(() => zero),
      range: { low: low + zero, high: high + zero },
    };
  }
  const axis = perChannel ? layer.role.out : undefined;
  const symmetric = perChannel || type === "int8";
  const { min, max } = channelRanges(dense, axis);
  const parameters = Array.from(min, (low, channel) => scaleAndZeroPoint(low, max[channel] ?? 0, { type, symmetric }));
  return {
    type,
    axis,
    scale: parameters.map(({ scale }) => scale),
    zeroPoint: parameters.map(({ zeroPoint }) => zeroPoint),
    range: quantizationRange({ type, symmetric }),
  };
}

/** Codes of a weight. */
export function quantizeWeight(
  layer: Layer,
  dense: Dense,
  settings: WeightSettings,
  existing?: ModelRoundings,
): QuantizedTensor {
  return forLayer(layer, () => quantizeTensor(dense, weightRule(layer, dense, settings, existing)));
}

/** Of the schemes that compute in float or by QDQ, where nothing speaks for uint8. */
export function settingsOf(options: {
  readonly weights?: "int8" | "uint8" | undefined;
  readonly perChannel: boolean;
}): WeightSettings {
  return { type: options.weights ?? "int8", perChannel: options.perChannel };
}

/** Runs something that may refuse numbers, and says whose numbers they were. */
export function forLayer<T>(layer: Layer, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw new PithError(error.code, `Layer "${layer.name}": ${error.message}`, { cause: error });
  }
}

/** Stores codes, scale and zero point under the names that ONNX Runtime's own tools use and look for. */
export function storeQuantized(
  emit: Emit,
  name: string,
  tensor: QuantizedTensor,
): { readonly codes: Value; readonly scale: Value; readonly zeroPoint: Value } {
  return {
    codes: emit.constant(tensor.quantized, `${name}_quantized`),
    scale: emit.constant(tensor.scale, `${name}_scale`),
    zeroPoint: emit.constant(tensor.zeroPoint, `${name}_zero_point`),
  };
}

/** The stored codes as numbers again: what the layer reads. */
export function dequantized(emit: Emit, name: string, tensor: QuantizedTensor): Value {
  const { codes, scale, zeroPoint } = storeQuantized(emit, name, tensor);
  const along = tensor.axis === undefined ? {} : { axis: tensor.axis };
  return emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint], along);
}

function isCodes(value: Value): boolean {
  const type = value.tensor?.type;
  return type !== undefined && /^u?int(2|4|8|16|32)$/.test(type);
}
