/**
 * Mean and variance of each channel, and its share of zeros.
 *
 * Batches are joined by Chan's rule (Chan, Golub and LeVeque 1983), which loses no digits where the mean is large:
 *
 *     n = n_a + n_b,  δ = m_b - m_a,  m = m_a + δ n_b / n,  M = M_a + M_b + δ² n_a n_b / n
 */
import type { Statistic } from "./statistic.ts";

export interface Moments {
  /** Numbers of each channel. */
  readonly count: number;
  readonly mean: Float64Array;
  /** Over n, as batch normalization has it. */
  readonly variance: Float64Array;
  /** The share of numbers that are exactly zero. */
  readonly zeros: Float64Array;
}

/**
 * Moments of each channel of a value, of all its numbers where no axis is named, or of each column of what comes into a layer.
 * @example
 * const seen = await observe(engine, model, calibration, [{ name: "conv1.out", axis: 1 }], channelMoments);
 * seen.get("conv1.out")?.mean; // one number for each channel
 */
export const channelMoments: Statistic<Moments> = {
  begin() {
    let count = 0;
    let [mean, squares, zeros] = [new Float64Array(), new Float64Array(), new Float64Array()];
    return {
      add(batch) {
        const { rows, columns, data } = batch.matrix();
        if (rows === 0) return;
        const empty = (): Float64Array<ArrayBuffer> => new Float64Array(columns);
        if (count === 0) [mean, squares, zeros] = [empty(), empty(), empty()];
        const [sums, own] = [empty(), empty()];
        for (let start = 0; start < data.length; start += columns) {
          for (let column = 0; column < columns; column++) {
            const value = data[start + column] ?? 0;
            sums[column] = (sums[column] ?? 0) + value;
            if (value === 0) zeros[column] = (zeros[column] ?? 0) + 1;
          }
        }
        const means = sums.map((sum) => sum / rows);
        for (let start = 0; start < data.length; start += columns) {
          for (let column = 0; column < columns; column++)
            own[column] = (own[column] ?? 0) + ((data[start + column] ?? 0) - (means[column] ?? 0)) ** 2;
        }
        const total = count + rows;
        for (let column = 0; column < columns; column++) {
          const apart = (means[column] ?? 0) - (mean[column] ?? 0);
          mean[column] = (mean[column] ?? 0) + (apart * rows) / total;
          squares[column] = (squares[column] ?? 0) + (own[column] ?? 0) + (apart * apart * count * rows) / total;
        }
        count = total;
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
