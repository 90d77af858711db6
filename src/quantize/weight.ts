/** A weight as 8-bit codes in front of its layer: `fc1.weight` becomes `fc1.weight_quantized`, its scale and its zero point. */
import type { Layer } from "../analysis/layers.ts";
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type QuantizedTensor, quantizeWeights } from "../math/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";

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

/**
 * Codes of a weight: one scale per output channel, or one for all. Several scales need equal zero points (ONNX Runtime's integer kernels
 * know one), so the range per channel is symmetric whatever the type.
 */
export function quantizeWeight(layer: Layer, dense: Dense, settings: WeightSettings): QuantizedTensor {
  const axis = settings.perChannel ? layer.role.out : undefined;
  return forLayer(layer, () =>
    quantizeWeights({
      dense,
      type: settings.type,
      axis,
      symmetric: settings.perChannel || settings.type === "int8",
    }),
  );
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

/** The name that the stored numbers keep through masking and quantization: `fc1.weight`. */
export function plainWeightName(layer: Layer): string {
  return layer.weight.name.replace(/_orig$/, "");
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
