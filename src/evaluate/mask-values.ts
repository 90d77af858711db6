/**
 * Numbers of an output that stand for nothing: what masks set scores to, −1e4, −1e9 or −∞. In a sum of squares no difference of the others would
 * count beside them.
 *
 * A number stands for nothing if it is infinite, or as large as only infinity is meant (1e30; of float16 its largest, 65504). So does one of
 * −9000 or less, if all numbers above that are a hundredth of it at most: the sum of a score and −1e4 does, a number of a wide distribution
 * does not.
 */
import { type FloatType, isFloat } from "../tensor/convert.ts";
import type { DataType } from "../tensor/types.ts";

const endless: Readonly<Record<FloatType, number>> = { float16: 65504, bfloat16: 1e30, float32: 1e30, float64: 1e30 };

/** The largest number that masks set scores to, near −1e4. */
const highestFill = -9000;
/** How much larger than the scores a fill is. */
const leastRatio = 100;

/** Which numbers of a type stand for infinity. */
export function isEndless(type: DataType): (value: number) => boolean {
  const end = isFloat(type) ? endless[type] : Number.POSITIVE_INFINITY;
  return (value) => Math.abs(value) >= end;
}

/**
 * Which of the numbers that the original and the result say at the same place stand for nothing: the original's does, and the result's is no
 * score either.
 * @param original all numbers of the original's output.
 */
export function fills(original: Float64Array, type: DataType): (own: number, other: number) => boolean {
  const endlessly = isEndless(type);
  let largestScore = 0;
  let smallestFill = Number.POSITIVE_INFINITY;
  for (const value of original) {
    if (endlessly(value)) continue;
    if (value <= highestFill) smallestFill = Math.min(smallestFill, -value);
    else largestScore = Math.max(largestScore, Math.abs(value));
  }
  const isFilled = largestScore > 0 && smallestFill >= leastRatio * largestScore;
  const bound = isFilled ? highestFill : Number.NEGATIVE_INFINITY;
  return (own, other) => endlessly(own) || (own <= bound && other <= bound / 2);
}
