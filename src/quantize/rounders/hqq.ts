/**
 * Half-quadratic quantization: zero points of blocks that leave a small error of most numbers, and a large one of a few.
 *
 *     i = (2ᵇ - 1) / (max - min) stays; z = -min · i to begin with; then in turn
 *     q = clamp(round(w · i + z));  d = w - (q - z) / i;  e = sign(d) · max(0, |d| - |d|^(p-1) / β);  z = mean(q - (w - e) · i)
 *
 * p = 0.7; β starts at 10 and grows by 1.01. It ends when the mean of |d| no longer falls. Zero points are rounded then: kernels are slow
 * with others. No data is looked at. Source: Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023.
 */
import type { Grid, SlicedWeight } from "../../calibrate/solver.ts";
import type { ScaleAndZeroPoint } from "../../math/index.ts";
import { roundHalfEven } from "../../tensor/round.ts";

const [p, firstBeta, growth, mostSteps] = [0.7, 10, 1.01, 20];
const largestInverse = 2e4;

export const hqq = {
  id: "hqq",
  summary: "half-quadratic: zero points of blocks for a robust error, without data",
  zeroPoints: true,
  scales({ slices, numbers }: SlicedWeight, { high }: Grid): readonly ScaleAndZeroPoint[] {
    const inverse = new Float64Array(slices);
    const zero = new Float64Array(slices);
    for (let block = 0; block < slices; block++) {
      const own = numbers(block);
      // A zero point is a code: the range contains 0.
      const [min, max] = [own.reduce((a, b) => Math.min(a, b), 0), own.reduce((a, b) => Math.max(a, b), 0)];
      inverse[block] = Math.min(largestInverse, high / (max - min));
      zero[block] = roundHalfEven(-min * (inverse[block] ?? 0));
    }
    let best = Number.POSITIVE_INFINITY;
    let beta = firstBeta;
    for (let step = 0; step < mostSteps; step++, beta *= growth) {
      let total = 0;
      for (let block = 0; block < slices; block++) {
        const [i, z] = [inverse[block] ?? 0, zero[block] ?? 0];
        const own = numbers(block);
        let sum = 0;
        for (let at = 0; at < own.length; at++) {
          const w = own[at] ?? 0;
          const q = Math.min(high, Math.max(0, roundHalfEven(w * i + z)));
          const d = w - (q - z) / i;
          const size = Math.abs(d);
          total += size;
          sum += q - (w - Math.sign(d) * Math.max(0, size - (size + 1e-8) ** (p - 1) / beta)) * i;
        }
        zero[block] = sum / own.length;
      }
      if (total >= best) break;
      best = total;
    }
    return Array.from(inverse, (i, block) => ({
      scale: Math.fround(1 / i),
      zeroPoint: Math.min(high, Math.max(0, roundHalfEven(zero[block] ?? 0))),
    }));
  },
};
