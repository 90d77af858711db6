/**
 * Finds output values that masks set: −1e4, −1e9 or −∞. A sum of squares must skip them, because they are larger than all other differences.
 *
 * A value is set by a mask if its magnitude is at least 1e30 (float16: 65504). Values of at most −9000 are also set by a mask if the magnitudes of
 * all values above −9000 are at most a hundredth of theirs. This is true of a score plus −1e4, but not of a wide distribution.
 */
import { type FloatType, isFloat } from "../../core/tensor/convert.ts";
import type { DataType } from "../../core/tensor/types.ts";

const minEndless: Record<FloatType, number> = { float16: 65504, bfloat16: 1e30, float32: 1e30, float64: 1e30 };

const highestFill = -9000;
const minRatio = 100;

export function isEndless(type: DataType): (value: number) => boolean {
  const end = isFloat(type) ? minEndless[type] : Number.POSITIVE_INFINITY;
  return (value) => Math.abs(value) >= end;
}

/**
 * Returns a predicate for pairs of values to skip: the original's is set by a mask, and the result's is not an ordinary score.
 * @param original All values of the original's output.
 */
export function fillPredicate(original: Float64Array, type: DataType): (original: number, other: number) => boolean {
  const isEndlessValue = isEndless(type);
  let largestScore = 0;
  let smallestFill = Number.POSITIVE_INFINITY;
  for (const value of original) {
    if (isEndlessValue(value)) continue;
    if (value <= highestFill) smallestFill = Math.min(smallestFill, -value);
    else largestScore = Math.max(largestScore, Math.abs(value));
  }
  const isFilled = largestScore > 0 && smallestFill >= minRatio * largestScore;
  const bound = isFilled ? highestFill : Number.NEGATIVE_INFINITY;
  return (expected, other) => isEndlessValue(expected) || (expected <= bound && other <= bound / 2);
}
