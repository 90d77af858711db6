const twoTo52 = 2 ** 52;

/**
 * Rounds to the nearest integer, half to even, as in ONNX, IEEE 754 and NumPy: 0.5 → 0, 1.5 → 2, -2.5 → -2.
 * Doubles from 2^52 on have no fraction bits, so adding and subtracting 2^52 makes the processor round.
 */
export function roundHalfEven(value: number): number {
  if (value >= 0) return value < twoTo52 ? value + twoTo52 - twoTo52 : value;
  return value > -twoTo52 ? value - twoTo52 + twoTo52 : value;
}
