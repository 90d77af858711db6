/**
 * Finds output values that masks set: −1e4, −1e9 or −∞. A sum of squares must skip them, because they are larger than other differences.
 * Such values are infinite, or a score plus the constant of a mask: a round number, or a limit of float16.
 */
import { type DataType, type FloatType, isFloat } from "#ir";

const minInfinite: Record<FloatType, number> = { float16: 65504, bfloat16: 1e30, float32: 1e30, float64: 1e30 };

const highestFill = -9000;
/** Minimum ratio of the value that a mask sets to the largest score. */
const minRatio = 100;
/** Constants of masks that have several significant digits. */
const halfLimits = [32_752, 32_768, 65_500, 65_504];
/** Largest relative rounding error of a value that a mask sets. */
const roundingShare: Record<FloatType, number> = {
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
  float32: 2 ** -23,
  float64: 2 ** -23,
};

/** Returns whether a value stands for infinity. */
export function infinityTest(type: DataType): (value: number) => boolean {
  const end = isFloat(type) ? minInfinite[type] : Number.POSITIVE_INFINITY;
  return (value) => Math.abs(value) >= end;
}

/** Returns a predicate for pairs to skip, because a mask set the original's value. @param original the whole output. */
export function fillPredicate(original: Float64Array, type: DataType): (original: number, other: number) => boolean {
  const isInfiniteValue = infinityTest(type);
  let largestScore = 0;
  for (const value of original)
    if (value > highestFill && !isInfiniteValue(value)) largestScore = Math.max(largestScore, Math.abs(value));
  const rounding = isFloat(type) ? roundingShare[type] : 0;
  const isFill = (magnitude: number): boolean => {
    const unit = 10 ** Math.floor(Math.log10(magnitude));
    const constants = [Math.round(magnitude / unit) * unit, ...halfLimits];
    return constants.some((constant) => Math.abs(magnitude - constant) <= largestScore + rounding * constant);
  };
  return (expected, other) =>
    isInfiniteValue(expected) ||
    (largestScore > 0 &&
      -expected >= Math.max(-highestFill, minRatio * largestScore) &&
      other <= highestFill / 2 &&
      isFill(-expected));
}
