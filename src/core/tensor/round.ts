const twoTo52 = 2 ** 52;

/** Rounds half to even: 0.5 → 0, 1.5 → 2. Doubles from 2^52 on have no fraction bits, so adding and subtracting 2^52 rounds. */
export function roundHalfEven(value: number): number {
  if (value >= 0) return value < twoTo52 ? value + twoTo52 - twoTo52 : value;
  return value > -twoTo52 ? value - twoTo52 + twoTo52 : value;
}
