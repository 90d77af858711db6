/** Quantizes tensors with one scale, or one per slice along an axis, in the format of `QuantizeLinear`. Values of 2 and 4 bits are packed. */
import {
  type AxisLayout,
  axisLayout,
  type Dense,
  dimsText,
  elementCount,
  fromNumbers,
  isPacked,
  pack,
  shapeError,
  toFloat32,
} from "#ir";
import {
  type Codes,
  fullRange,
  isSigned,
  makeCodes,
  type QuantizationRange,
  type QuantizedType,
  quantizationRange,
  quantizeColumns,
  quantizeStretch,
  scaleAndZeroPoint,
} from "../shared/affine-codes.ts";
import { commonSteps } from "../shared/common-step.ts";

/** A quantized tensor: x ≈ (quantized - zeroPoint) · scale. */
export interface QuantizedTensor {
  readonly quantized: Dense<QuantizedType>;
  /** A scalar, or a vector along `axis`. */
  readonly scale: Dense<"float32">;
  /** The zero points, with the type of the quantized values and the dimensions of `scale`. */
  readonly zeroPoint: Dense<QuantizedType>;
  readonly axis: number | undefined;
}

export interface QuantizeWeightsOptions {
  readonly dense: Dense;
  readonly type: QuantizedType;
  /** The axis whose slices have one scale each; undefined for a single scale. */
  readonly axis?: number | undefined;
  readonly symmetric?: boolean;
  readonly reduceRange?: boolean;
}

/** Quantizes weights over the range from their minimum to their maximum, as ONNX Runtime does. */
export function quantizeWeights(options: QuantizeWeightsOptions): QuantizedTensor {
  const { dense, type, axis, symmetric = isSigned(type), reduceRange = false } = options;
  const rules = { type, symmetric, reduceRange };
  const { min, max } = channelRanges(dense, axis);
  const parameters = Array.from(min, (low, channel) => scaleAndZeroPoint(low, max[channel] ?? 0, rules));
  return quantizeTensor(dense, {
    type,
    axis,
    scale: parameters.map(({ scale }) => scale),
    zeroPoint: parameters.map(({ zeroPoint }) => zeroPoint),
    range: quantizationRange(rules),
  });
}

/** Returns minimum and maximum of each slice along `axis`, or of all elements if `axis` is undefined; 0 for an empty slice. */
export function channelRanges(
  dense: Dense,
  axis: number | undefined,
): { readonly min: Float32Array; readonly max: Float32Array } {
  const values = toFloat32(dense);
  const { outer, count: channels, inner } = slices(dense.dims, axis);
  const min = new Float32Array(channels).fill(values.length === 0 ? 0 : Number.POSITIVE_INFINITY);
  const max = new Float32Array(channels).fill(values.length === 0 ? 0 : Number.NEGATIVE_INFINITY);
  let at = 0;
  if (inner === 1) {
    for (let start = 0; start < values.length; start += channels)
      for (let channel = 0; channel < channels; channel++) {
        const value = values[start + channel] ?? 0;
        if (!(value >= (min[channel] ?? 0))) min[channel] = preferNaN(min[channel] ?? 0, value);
        if (!(value <= (max[channel] ?? 0))) max[channel] = preferNaN(max[channel] ?? 0, value);
      }
    return { min, max };
  }
  for (let block = 0; block < outer; block++) {
    for (let channel = 0; channel < channels; channel++) {
      let low = min[channel] ?? 0;
      let high = max[channel] ?? 0;
      // The caller rejects a range of NaN, so NaN elements must not get lost in comparisons.
      let hasNaN = Number.isNaN(low);
      for (const end = at + inner; at < end; at++) {
        const value = values[at] ?? 0;
        if (value < low) low = value;
        if (value > high) high = value;
        if (Number.isNaN(value)) hasNaN = true;
      }
      min[channel] = hasNaN ? Number.NaN : low;
      max[channel] = hasNaN ? Number.NaN : high;
    }
  }
  return { min, max };
}

/** Returns, for each slice along `axis` (or all elements), the largest magnitude as a number of common steps (`commonSteps`). */
export function sliceSteps(
  dense: Dense,
  axis: number | undefined,
  { min, max }: ReturnType<typeof channelRanges>,
  most: number,
): Uint8Array {
  const values = toFloat32(dense);
  const { outer, count, inner } = slices(dense.dims, axis);
  return Uint8Array.from(min, (low, slice) =>
    commonSteps(values, slice * inner, outer, count * inner, inner, Math.max(-low, max[slice] ?? 0), most),
  );
}

const preferNaN = (bound: number, value: number): number => (Number.isNaN(bound) ? bound : value);

export function quantizationParameters({
  type,
  axis,
  scale,
  zeroPoint,
}: {
  readonly type: QuantizedType;
  readonly axis?: number | undefined;
  readonly scale: ArrayLike<number>;
  readonly zeroPoint: ArrayLike<number>;
}): Omit<QuantizedTensor, "quantized"> {
  const dims = axis === undefined ? [] : [scale.length];
  return { scale: fromNumbers("float32", dims, scale), zeroPoint: fromNumbers(type, dims, zeroPoint), axis };
}

/** Quantizes a tensor with given scales and zero points, either one of each or one per slice along `axis`. */
export function quantizeTensor(
  dense: Dense,
  options: {
    readonly type: QuantizedType;
    readonly axis?: number | undefined;
    readonly scale: ArrayLike<number>;
    readonly zeroPoint: ArrayLike<number>;
    readonly range?: QuantizationRange;
  },
): QuantizedTensor {
  const { type, scale, zeroPoint, range = fullRange(type) } = options;
  const values = toFloat32(dense);
  const { outer, count: channels, inner } = slices(dense.dims, options.axis);
  const axis = options.axis === undefined || options.axis >= 0 ? options.axis : options.axis + dense.dims.length;
  if (scale.length !== channels || zeroPoint.length !== channels) {
    throw shapeError(
      `${dense.type}${dimsText(dense.dims)} has ${channels} slices to quantize, got ${scale.length} scales and ${zeroPoint.length} zero points.`,
    );
  }
  const codes = makeCodes(type, values.length);
  if (inner === 1 && channels > 1) {
    quantizeColumns(values, codes, Float32Array.from(scale), Int32Array.from(zeroPoint), range);
  } else
    for (let block = 0; block < outer; block++) {
      for (let channel = 0; channel < channels; channel++) {
        const at = (block * channels + channel) * inner;
        quantizeStretch(values, codes, at, inner, Math.fround(scale[channel] ?? 0), zeroPoint[channel] ?? 0, range);
      }
    }
  return {
    quantized: codesTensor(type, dense.dims, codes),
    ...quantizationParameters({ type, axis, scale, zeroPoint }),
  };
}

export function codesTensor(type: QuantizedType, dims: readonly number[], codes: Codes): Dense<QuantizedType> {
  const data = isPacked(type) ? pack(type, codes) : codes;
  return { type, dims, data } as Dense<QuantizedType>;
}

const slices = (dims: readonly number[], axis: number | undefined): AxisLayout =>
  axis === undefined ? { outer: 1, count: 1, inner: elementCount(dims) } : axisLayout(dims, axis);
