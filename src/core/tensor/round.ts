/** Rounding as in ONNX, IEEE 754 and NumPy: to the nearest integer, halves to even. */

const twoTo52 = 2 ** 52;

/**
 * Rounds to the nearest integer, halves to even: 0.5 → 0, 1.5 → 2, -2.5 → -2.
 * From 2^52 on a double has no fraction bits, so adding and subtracting 2^52 makes the processor round.
 */
export function roundHalfEven(value: number): number {
  if (value >= 0) return value < twoTo52 ? value + twoTo52 - twoTo52 : value;
  return value > -twoTo52 ? value - twoTo52 + twoTo52 : value;
}
