/**
 * Seeded random numbers, equal on every machine: xoshiro128** (Blackman and Vigna 2018), integer arithmetic only. Normal numbers use Marsaglia's
 * polar method with a custom logarithm, because JavaScript engines round `Math.log` differently. A stream's first state is a hash of the seed and a
 * name, so that streams are independent.
 */
import { optionError } from "../errors.ts";

export interface Random {
  /** Returns the next 32 random bits, as an integer from 0 to 2^32 - 1. */
  bits(): number;
  /** Returns a uniformly distributed number in [low, high), by default [0, 1) in steps of 2^-53. */
  uniform(low?: number, high?: number): number;
  /** Returns a normally distributed number, by default with mean 0 and standard deviation 1. */
  normal(mean?: number, deviation?: number): number;
  /** Returns an integer from 0 to count - 1. */
  integer(count: number): number;
  /** Returns the integers from 0 to count - 1 in random order. */
  permutation(count: number): Uint32Array;
}

/**
 * Returns the stream of random numbers for a seed and a name.
 * @example
 * const noise = random(1, "noise", 3); // the fourth noise stream of seed 1
 * noise.uniform();
 */
export function random(seed: number, ...stream: readonly (number | string)[]): Random {
  const state = hash([seed, ...stream]);
  let [a, b, c, d] = state;
  let spareNormal: number | undefined;

  function bits(): number {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  }

  function uniformUnit(): number {
    const high = bits() >>> 5;
    const low = bits() >>> 6;
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  function standardNormal(): number {
    if (spareNormal !== undefined) {
      const storedNormal = spareNormal;
      spareNormal = undefined;
      return storedNormal;
    }
    for (;;) {
      const x = 2 * uniformUnit() - 1;
      const y = 2 * uniformUnit() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * logarithm(square)) / square);
      spareNormal = y * factor;
      return x * factor;
    }
  }

  function integer(count: number): number {
    if (!Number.isInteger(count) || count < 1 || count > 0x100000000)
      throw optionError(`A random integer needs a count from 1 to 2^32, got ${count}.`);
    // Redraws numbers above the last multiple of `count`, which would make small results more likely.
    const limit = 0x100000000 - (0x100000000 % count);
    for (;;) {
      const randomBits = bits();
      if (randomBits < limit) return randomBits % count;
    }
  }

  return {
    bits,
    uniform: (low = 0, high = 1) => low + (high - low) * uniformUnit(),
    normal: (mean = 0, deviation = 1) => mean + deviation * standardNormal(),
    integer,
    permutation(count) {
      const order = Uint32Array.from({ length: count }, (_, index) => index);
      for (let last = count - 1; last > 0; last--) {
        const randomIndex = integer(last + 1);
        const lastIndex = order[last] ?? 0;
        order[last] = order[randomIndex] ?? 0;
        order[randomIndex] = lastIndex;
      }
      return order;
    },
  };
}

/** Hashes seed and name to 128 bits: four lanes mix the characters as MurmurHash3 does. */
function hash(parts: readonly (number | string)[]): [number, number, number, number] {
  // Lengths of words, and marks of numbers, distinguish ("a", "bc") from ("ab", "c"), and 1 from "1".
  const text = parts.map((part) => (typeof part === "number" ? `#${part};` : `"${part.length}:${part};`)).join("");
  const lanes: [number, number, number, number] = [0x3c074a61, 0x66d1e5b9, 0x1f83d9ab, 0x5be0cd19];
  const factors = [0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    for (let lane = 0; lane < 4; lane++) {
      const mixedLane = Math.imul((lanes[lane] ?? 0) ^ code, factors[lane] ?? 0);
      lanes[lane] = mixedLane ^ (mixedLane >>> 15) ^ (lanes[(lane + 1) % 4] ?? 0);
    }
  }
  for (let round = 0; round < 8; round++) {
    const lane = round % 4;
    lanes[lane] = finishLane(((lanes[lane] ?? 0) + Math.imul(lanes[(lane + 3) % 4] ?? 0, 0x9e3779b9) + round) | 0);
  }
  // xoshiro never leaves the all-zero state.
  if ((lanes[0] | lanes[1] | lanes[2] | lanes[3]) === 0) lanes[0] = 1;
  return lanes;
}

function finishLane(value: number): number {
  let mixedBits = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixedBits = Math.imul(mixedBits ^ (mixedBits >>> 13), 0xc2b2ae35);
  return mixedBits ^ (mixedBits >>> 16);
}

/** ln x for 0 < x < 1: x = m · 2^e with m in [√½, √2), and ln m = 2 (t + t³/3 + t⁵/5 + …) with t = (m - 1)/(m + 1). */
function logarithm(x: number): number {
  let mantissa = x;
  let exponent = 0;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    exponent--;
  }
  const t = (mantissa - 1) / (mantissa + 1);
  const square = t * t;
  let sum = 0;
  for (let denominator = 21; denominator >= 1; denominator -= 2) sum = sum * square + 1 / denominator;
  return exponent * Math.LN2 + 2 * t * sum;
}
