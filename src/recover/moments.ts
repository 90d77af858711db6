/**
 * Mean and variance of each channel of a value, streamed.
 *
 * Batches are joined by Chan's rule (Chan, Golub and LeVeque 1983), which loses no digits where the mean is large:
 *
 *     n = n_a + n_b,  δ = m_b - m_a,  m = m_a + δ n_b / n,  M = M_a + M_b + δ² n_a n_b / n
 */
import type { Statistic } from "../evaluate/observe.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { alongAxis } from "../tensor/dims.ts";

export interface Moments {
  /** Numbers of each channel. */
  readonly count: number;
  readonly mean: Float64Array;
  /** Over n, as batch normalization has it. */
  readonly variance: Float64Array;
}

/** Moments of the channels along an axis. */
export function momentsOf(axis: number): Statistic<Moments> {
  let count = 0;
  let mean = new Float64Array();
  let squares = new Float64Array();
  return {
    add(batch) {
      const { outer, count: size, inner } = alongAxis(batch.dims, axis);
      const values = batch.type === "float32" ? batch.data : toFloat64(batch);
      const own = outer * inner;
      if (own === 0) return;
      if (count === 0) [mean, squares] = [new Float64Array(size), new Float64Array(size)];
      const total = count + own;
      for (let channel = 0; channel < size; channel++) {
        let sum = 0;
        for (let row = 0; row < outer; row++) {
          const start = (row * size + channel) * inner;
          for (let at = start; at < start + inner; at++) sum += values[at] ?? 0;
        }
        const ownMean = sum / own;
        let ownSquares = 0;
        for (let row = 0; row < outer; row++) {
          const start = (row * size + channel) * inner;
          for (let at = start; at < start + inner; at++) ownSquares += ((values[at] ?? 0) - ownMean) ** 2;
        }
        const apart = ownMean - (mean[channel] ?? 0);
        mean[channel] = (mean[channel] ?? 0) + (apart * own) / total;
        squares[channel] = (squares[channel] ?? 0) + ownSquares + (apart * apart * count * own) / total;
      }
      count = total;
    },
    result: () => ({ count, mean, variance: squares.map((sum) => sum / count) }),
  };
}
