/**
 * Scales and minima of blocks by weighted least squares, without data; each value x has the weight |x| + rms(x).
 *
 *     s = (max - min) / (2ᵇ - 1), m = min to begin with; for k = 0 … 19:
 *     q = clamp(round((2ᵇ - 2 + k / 10) / (max - m) · (x - m))); s, m minimize Σ w (s q + m - x)², and are kept if the sum falls
 *
 * Then z = clamp(round(-m / s)). Source: llama.cpp's k-quants, as in ONNX Runtime's quantizer.
 */

import { roundHalfEven } from "#ir";
import type { Grid, SlicedWeight } from "../../calibrate/solver.ts";
import { roundingShift, type ScaleAndZeroPoint } from "../../shared/quantize.ts";

const trials = 20;

export const kQuant = {
  id: "k-quant",
  summary: "block scales by weighted least squares, without data",
  zeroPoints: true,
  scales({ slices, numbers }: SlicedWeight, { high }: Grid): readonly ScaleAndZeroPoint[] {
    let weights = new Float64Array(0);
    return Array.from({ length: slices }, (_, slice) => {
      const x = numbers(slice);
      if (weights.length !== x.length) weights = new Float64Array(x.length);
      return fitBlock(x, weights, high);
    });
  },
};

/** @param weights space for the weights of the block. */
function fitBlock(x: Float64Array, weights: Float64Array, high: number): ScaleAndZeroPoint {
  let [min, max, squares] = [x[0] ?? 0, x[0] ?? 0, 0];
  for (const value of x) {
    min = value < min ? value : min;
    max = value > max ? value : max;
    squares += value * value;
  }
  if (max === min) return { scale: Math.fround(Math.abs(max)), zeroPoint: max < 0 ? 1 : 0 };
  // A zero point is in the quantized range: for values of one sign, the minimum or maximum is 0.
  if (min > 0 || max < 0) {
    const largest = min > 0 ? max : -min;
    return { scale: Math.fround(largest / high), zeroPoint: min > 0 ? 0 : high };
  }
  const rms = Math.sqrt(squares / x.length);
  let [total, valueSum, valueSquares] = [0, 0, 0];
  for (let index = 0; index < x.length; index++) {
    const value = x[index] ?? 0;
    const weight = Math.abs(value) + rms;
    weights[index] = weight;
    total += weight;
    valueSum += weight * value;
    valueSquares += weight * value * value;
  }
  let bestScale = (max - min) / high;
  let bestMin = min;
  let minError = Number.POSITIVE_INFINITY;
  // Trial -1 is the whole range; the others are fitted to their codes.
  for (let trial = -1; trial < trials; trial++) {
    sumCodes(x, weights, trial < 0 ? 1 / bestScale : (high - 1 + trial / 10) / (max - bestMin), bestMin, high, sums);
    const { codeSum, codeSquares, products } = sums;
    const determinant = total * codeSquares - codeSum * codeSum;
    if (trial >= 0 && determinant <= 0) continue;
    const s = trial < 0 ? bestScale : (total * products - valueSum * codeSum) / determinant;
    const m = trial < 0 ? bestMin : (codeSquares * valueSum - codeSum * products) / determinant;
    const error = valueSquares + s * (s * codeSquares + 2 * (m * codeSum - products)) + m * (m * total - 2 * valueSum);
    if (error < minError) [bestScale, bestMin, minError] = [s, m, error];
  }
  return { scale: Math.fround(bestScale), zeroPoint: Math.min(high, Math.max(0, roundHalfEven(-bestMin / bestScale))) };
}

const sums = { codeSum: 0, codeSquares: 0, products: 0 };

/** Computes Σ w q, Σ w q² and Σ w q x of q = clamp(round(factor · (x - m))). Avoids destructuring, which is slow. */
function sumCodes(
  x: Float64Array,
  weights: Float64Array,
  factor: number,
  m: number,
  high: number,
  to: typeof sums,
): void {
  const shift = roundingShift;
  let codeSum = 0;
  let codeSquares = 0;
  let products = 0;
  for (let index = 0; index < x.length; index++) {
    const value = x[index] ?? 0;
    // Integers are clamped without branches, which the processor would mispredict.
    const rounded = (factor * (value - m) + shift - shift) | 0;
    const positive = rounded & ~(rounded >> 31);
    const excess = (positive - high) | 0;
    const code = (positive - (excess & ~(excess >> 31))) | 0;
    const weightedCode = (weights[index] ?? 0) * code;
    codeSum += weightedCode;
    codeSquares += weightedCode * code;
    products += weightedCode * value;
  }
  to.codeSum = codeSum;
  to.codeSquares = codeSquares;
  to.products = products;
}
