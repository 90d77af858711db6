/**
 * Affine quantization x ≈ (q − zero point) · scale, with exactly the results of ONNX Runtime, which divides in float32 and rounds half to even. This
 * code divides in float64 and rounds the quotient to float32, which gives the same quotient, because float64 has more than 2 · 24 + 1 bits.
 */
import { dataError, integerRange, type PithError, roundHalfEven, shapeError } from "#ir";

export type QuantizedType = "int8" | "uint8" | "int16" | "uint16" | "int4" | "uint4" | "int2" | "uint2";

export interface QuantizationRange {
  readonly low: number;
  readonly high: number;
}

export interface RangeOptions {
  readonly type: QuantizedType;
  /** Whether the range is ±max |x| with the zero point in the middle. By default true for signed types. */
  readonly symmetric?: boolean;
  /** Leaves one bit unused, for processors whose 8-bit dot product saturates at 16 bits. */
  readonly reduceRange?: boolean;
}

export interface ScaleOptions extends RangeOptions {
  /** The minimum difference between the upper and lower end of the range. */
  readonly minimumRange?: number;
}

/** The affine map of quantization. `scale` is a float32 number. */
export interface ScaleAndZeroPoint {
  readonly scale: number;
  readonly zeroPoint: number;
}

export type Codes = Int8Array | Uint8Array | Int16Array | Uint16Array;

export function isSigned(type: QuantizedType): boolean {
  return type.startsWith("int");
}

/** Returns the lowest and highest quantized value. A symmetric int8 or int16 range excludes −128 or −32,768, except with `reduceRange`. */
export function quantizationRange(options: RangeOptions): QuantizationRange {
  const { type, reduceRange = false, symmetric = isSigned(type) } = options;
  const [low, high] = reduceRange ? (reducedRange[type] ?? integerRange[type]) : integerRange[type];
  const isRestricted = symmetric && !reduceRange && (type === "int8" || type === "int16");
  return { low: isRestricted ? -high : low, high };
}

// Ranges with one unused bit, as in ONNX Runtime.
const reducedRange: Readonly<Partial<Record<QuantizedType, readonly [number, number]>>> = {
  int8: [-64, 64],
  uint8: [0, 127],
  int16: [-16384, 16384],
  uint16: [0, 32767],
  int4: [-4, 3],
  uint4: [0, 7],
};

/** The smallest normal float32. A smaller scale would lose digits. */
export const smallestScale = 2 ** -126;

/**
 * Returns scale and zero point for numbers from `min` to `max` and 0, as ONNX Runtime's `compute_scale_zp` does; 1 and 0 for tiny ranges.
 * @throws PithError E_DATA if a bound is not finite, or if `min` exceeds `max`.
 */
export function scaleAndZeroPoint(min: number, max: number, options: ScaleOptions): ScaleAndZeroPoint {
  if (!Number.isFinite(min) || !Number.isFinite(max) || min > max)
    throw dataError(`A range to quantize needs finite bounds in order, got ${min} … ${max}.`);
  const { symmetric = isSigned(options.type), minimumRange } = options;
  const { low, high } = quantizationRange(options);
  let bottom = Math.min(Math.fround(min), 0);
  let top = Math.max(Math.fround(max), 0);
  if (minimumRange !== undefined) top = Math.max(top, Math.fround(bottom + Math.fround(minimumRange)));
  if (symmetric) {
    top = Math.max(-bottom, top);
    bottom = -top;
  }
  const float32Range = Math.fround(top - bottom);
  const unroundedScale = (Number.isFinite(float32Range) ? float32Range : top - bottom) / (high - low);
  if (unroundedScale < smallestScale) return { scale: 1, zeroPoint: 0 };
  const zeroPoint = roundHalfEven(symmetric ? (low + high) / 2 : low - bottom / unroundedScale);
  return { scale: Math.fround(unroundedScale), zeroPoint };
}

/**
 * Quantizes a bias for the int32 accumulator, with scale = input scale · weight scale. `saturated` counts elements beyond the int32 range.
 * @throws PithError E_SHAPE_MISMATCH if there are several weight scales, but not one per element.
 */
export function quantizeBias(
  bias: ArrayLike<number>,
  inputScale: number,
  weightScale: ArrayLike<number>,
): { readonly codes: Int32Array; readonly scale: Float32Array; readonly saturated: number } {
  if (weightScale.length !== 1 && weightScale.length !== bias.length)
    throw shapeError(`A bias of ${bias.length} elements has ${weightScale.length} weight scales: one, or one each.`);
  const scale = Float32Array.from(weightScale, (value) => inputScale * value);
  const [low, high] = integerRange.int32;
  let saturated = 0;
  const codes = Int32Array.from(bias, (value, channel) => {
    const code = roundHalfEven(value / (scale[weightScale.length === 1 ? 0 : channel] ?? 0));
    if (Number.isNaN(code))
      throw dataError(`Element ${channel} of the bias is ${value} at scale ${scale[channel] ?? scale[0]}.`);
    if (code < low || code > high) saturated++;
    return Math.max(low, Math.min(high, code));
  });
  return { codes, scale, saturated };
}

/**
 * Returns the weight scale, enlarged if necessary so that a bias fits into int32. As in ONNX Runtime: input scale · weight scale ≥
 * 1.0001 · 2 |bias| / (2³² − 2), and at least the smallest normal float32. @param weightScale 0 if all weights are zero.
 */
export function weightScaleForBias(inputScale: number, weightScale: number, bias: number): number {
  const smallest = Math.max(smallestBiasScale(bias), smallestScale * 1.0001);
  return inputScale * weightScale >= smallest ? weightScale : smallest / inputScale;
}

/** Returns the smallest scale at which ±|bias| fits into int32, with a margin for rounding. */
export function smallestBiasScale(bias: number): number {
  return (1.0001 * 2 * Math.abs(bias)) / (2 ** 32 - 2);
}

export function fullRange(type: QuantizedType): QuantizationRange {
  const [low, high] = integerRange[type];
  return { low, high };
}

export function makeCodes(type: QuantizedType, count: number): Codes {
  if (type === "int16") return new Int16Array(count);
  if (type === "uint16") return new Uint16Array(count);
  return isSigned(type) ? new Int8Array(count) : new Uint8Array(count);
}

export function quantizeStretch(
  values: ArrayLike<number>,
  codes: Codes,
  from: number,
  count: number,
  scale: number,
  zeroPoint: number,
  { low, high }: QuantizationRange,
): void {
  const [minQuotient, maxQuotient] = [low - zeroPoint, high - zeroPoint];
  for (let at = from; at < from + count; at++) {
    const quotient = Math.fround(Math.fround(values[at] ?? 0) / scale);
    if (Number.isNaN(quotient)) throw notANumber(at, values, scale);
    const clampedQuotient = quotient < minQuotient ? minQuotient : quotient > maxQuotient ? maxQuotient : quotient;
    codes[at] = clampedQuotient + roundingShift - roundingShift + zeroPoint;
  }
}

export function quantizeColumns(
  values: Float32Array,
  codes: Codes,
  scale: Float32Array,
  zeroPoint: Int32Array,
  { low, high }: QuantizationRange,
): void {
  const columns = scale.length;
  for (let row = 0; row < values.length; row += columns) {
    for (let column = 0; column < columns; column++) {
      const zero = zeroPoint[column] ?? 0;
      const quotient = Math.fround((values[row + column] ?? 0) / (scale[column] ?? 0));
      if (Number.isNaN(quotient)) throw notANumber(row + column, values, scale[column] ?? 0);
      const clampedQuotient = quotient < low - zero ? low - zero : quotient > high - zero ? high - zero : quotient;
      codes[row + column] = clampedQuotient + roundingShift - roundingShift + zero;
    }
  }
}

/** Adding and subtracting this rounds a number below 2⁵¹ to the nearest integer, halves to even: sums from 2⁵² to 2⁵³ have no fraction bits. */
export const roundingShift = 1.5 * 2 ** 52;

function notANumber(index: number, values: ArrayLike<number>, scale: number): PithError {
  const text = `Element ${index} is ${values[index]} at scale ${scale}: no quantized value represents it.`;
  return dataError(text);
}
