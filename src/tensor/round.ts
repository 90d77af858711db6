/** Rounding as ONNX, IEEE 754 and NumPy round: to the nearest integer, halves to the even one. */

const twoTo52 = 2 ** 52;

/**
 * The nearest integer, halves to even: 0.5 → 0, 1.5 → 2, -2.5 → -2.
 *
 * From 2^52 on a double has no fraction bits left, so adding and taking away 2^52 lets the processor's own rounding do the work.
 */
export function roundHalfEven(value: number): number {
  if (value >= 0) return value < twoTo52 ? value + twoTo52 - twoTo52 : value;
  return value > -twoTo52 ? value - twoTo52 + twoTo52 : value;
}
