/**
 * Mean and variance of each channel, and its share of zeros. Batches are merged without cancellation (Chan, Golub and LeVeque
 * 1983):
 *
 *     n = n_a + n_b,  δ = m_b - m_a,  m = m_a + δ n_b / n,  M = M_a + M_b + δ² n_a n_b / n
 */
import type { Statistic } from "./statistic.ts";

export interface Moments {
  /** Values per channel. */
  readonly count: number;
  readonly mean: Float64Array;
  /** Divided by n, as in batch normalization. */
  readonly variance: Float64Array;
  /** Share of exact zeros. */
  readonly zeros: Float64Array;
}

/**
 * Moments of each channel of a value (of all values without an axis), or of each column of layer inputs.
 * @example
 * const seen = await observe(engine, model, calibration, [{ name: "conv1.out", axis: 1 }], channelMoments);
 * seen.get("conv1.out")?.mean; // one number for each channel
 */
export const channelMoments: Statistic<Moments> = {
  begin() {
    let count = 0;
    let [mean, squares, zeros] = [new Float64Array(), new Float64Array(), new Float64Array()];
    return {
      add({ rows, columns, groups, inner, values }) {
        if (rows === 0) return;
        const [numbers, width] = [values(), columns * groups];
        const empty = (): Float64Array<ArrayBuffer> => new Float64Array(width);
        if (count === 0) [mean, squares, zeros] = [empty(), empty(), empty()];
        for (let column = 0; column < width; column++) {
          let [sum, none, own] = [0, 0, 0];
          for (let start = column * inner; start < numbers.length; start += width * inner) {
            for (let at = start; at < start + inner; at++) {
              const value = numbers[at] ?? 0;
              sum += value;
              if (value === 0) none++;
            }
          }
          const centre = sum / rows;
          for (let start = column * inner; start < numbers.length; start += width * inner)
            for (let at = start; at < start + inner; at++) own += ((numbers[at] ?? 0) - centre) ** 2;
          const apart = centre - (mean[column] ?? 0);
          mean[column] = (mean[column] ?? 0) + (apart * rows) / (count + rows);
          squares[column] = (squares[column] ?? 0) + own + (apart * apart * count * rows) / (count + rows);
          zeros[column] = (zeros[column] ?? 0) + none;
        }
        count += rows;
      },
      end: () => ({
        count,
        mean,
        variance: squares.map((sum) => sum / count),
        zeros: zeros.map((sum) => sum / count),
      }),
    };
  },
};
