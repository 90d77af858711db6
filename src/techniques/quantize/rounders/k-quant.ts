/**
 * Scales and minima of blocks by weighted least squares, without data; each value x has the weight |x| + rms(x).
 *
 *     s = (max - min) / (2ᵇ - 1), m = min to begin with; for k = 0 … 19:
 *     q = clamp(round((2ᵇ - 2 + k / 10) / (max - m) · (x - m))); s, m minimize Σ w (s q + m - x)², and are kept if the sum falls
 *
 * Then z = clamp(round(-m / s)). Source: llama.cpp's k-quants, as in ONNX Runtime's quantizer.
 */

import type { ScaleAndZeroPoint } from "../../../core/math/quantize.ts";
import { roundHalfEven } from "../../../core/tensor/round.ts";
import type { Grid, SlicedWeight } from "../../calibrate/solver.ts";

const trials = 20;

export const kQuant = {
  id: "k-quant",
  summary: "block scales by weighted least squares, without data",
  zeroPoints: true,
  scales({ slices, numbers }: SlicedWeight, { high }: Grid): readonly ScaleAndZeroPoint[] {
    return Array.from({ length: slices }, (_, slice) => fitBlock(numbers(slice), high));
  },
};

function fitBlock(x: Float64Array, high: number): ScaleAndZeroPoint {
  const clamp = (code: number): number => Math.min(high, Math.max(0, roundHalfEven(code)));
  const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / Math.max(1, x.length));
  const weights = x.map((value) => Math.abs(value) + rms);
  const [min, max] = [x.reduce((a, b) => Math.min(a, b)), x.reduce((a, b) => Math.max(a, b))];
  if (max === min) return { scale: Math.fround(Math.abs(max)), zeroPoint: max < 0 ? 1 : 0 };
  // A zero point is in the quantized range: for values of one sign, the minimum or maximum is 0.
  if (min > 0 || max < 0) {
    const largest = min > 0 ? max : -min;
    return { scale: Math.fround(largest / high), zeroPoint: min > 0 ? 0 : high };
  }
  const errorOf = (codes: Float64Array, s: number, m: number): number =>
    codes.reduce((sum, q, index) => sum + (weights[index] ?? 0) * (s * q + m - (x[index] ?? 0)) ** 2, 0);
  let best = { s: (max - min) / high, m: min };
  let minError = errorOf(
    x.map((value) => clamp((value - min) / best.s)),
    best.s,
    best.m,
  );
  for (let trial = 0; trial < trials; trial++) {
    const factor = (high - 1 + trial / 10) / (max - best.m);
    const codes = x.map((value) => clamp(factor * (value - best.m)));
    const line = weightedLine(codes, x, weights);
    const error = line === undefined ? Number.POSITIVE_INFINITY : errorOf(codes, line.s, line.m);
    if (line !== undefined && error < minError) [best, minError] = [line, error];
  }
  return { scale: Math.fround(best.s), zeroPoint: clamp(-best.m / best.s) };
}

function weightedLine(q: Float64Array, x: Float64Array, w: Float64Array): { s: number; m: number } | undefined {
  let [total, codeSum, codeSquares, valueSum, products] = [0, 0, 0, 0, 0];
  for (let index = 0; index < q.length; index++) {
    const [code, value, weight] = [q[index] ?? 0, x[index] ?? 0, w[index] ?? 0];
    total += weight;
    codeSum += weight * code;
    codeSquares += weight * code * code;
    valueSum += weight * value;
    products += weight * value * code;
  }
  const determinant = total * codeSquares - codeSum * codeSum;
  if (determinant <= 0) return undefined;
  return {
    s: (total * products - valueSum * codeSum) / determinant,
    m: (codeSquares * valueSum - codeSum * products) / determinant,
  };
}
