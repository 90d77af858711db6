/** Statistics of each column of a value, such as norms, ranges and moments. */
import type { Statistic } from "./statistic.ts";

/** @param finish receives the sum of a column and the number of rows. */
const columnSums = (
  term: (value: number) => number,
  finish: (sum: number, rows: number) => number,
): Statistic<Float64Array> => ({
  begin() {
    let [sums, count] = [new Float64Array(), 0];
    return {
      add({ rows, columns, groups, inner, values }) {
        const [numbers, width] = [values(), columns * groups];
        if (sums.length === 0) sums = new Float64Array(width);
        count += rows;
        for (let start = 0, run = 0; start < numbers.length; start += inner, run++) {
          let sum = 0;
          for (let index = start; index < start + inner; index++) sum += term(numbers[index] ?? 0);
          sums[run % width] = (sums[run % width] ?? 0) + sum;
        }
      },
      end: () => sums.map((sum) => finish(sum, count)),
    };
  },
});

/**
 * ‖x‖₂ of each column over all rows.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) console.log(layer.name, await seen.collect(layer, columnNorms));
 * await seen.release();
 */
export const columnNorms: Statistic<Float64Array> = columnSums((x) => x ** 2, Math.sqrt);
export const meanMagnitudes = columnSums(Math.abs, (sum, rows) => sum / Math.max(1, rows));

export interface ColumnRange {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/** The minimum and maximum of each column, including 0. */
export const columnRange: Statistic<ColumnRange> = {
  begin() {
    let [min, max] = [new Float64Array(), new Float64Array()];
    return {
      add({ columns, groups, inner, values }) {
        const [numbers, width] = [values(), columns * groups];
        if (min.length === 0) [min, max] = [new Float64Array(width), new Float64Array(width)];
        for (let start = 0, run = 0; start < numbers.length; start += inner, run++) {
          const column = run % width;
          let [low, high] = [min[column] ?? 0, max[column] ?? 0];
          for (let index = start; index < start + inner; index++) {
            const value = numbers[index] ?? 0;
            if (value < low) low = value;
            else if (value > high) high = value;
          }
          min[column] = low;
          max[column] = high;
        }
      },
      end: () => ({ min, max }),
    };
  },
};

export interface Moments {
  /** Number of values per channel. */
  readonly count: number;
  readonly mean: Float64Array;
  /** Divided by n, as in batch normalization. */
  readonly variance: Float64Array;
  /** Share of exact zeros. */
  readonly zeros: Float64Array;
}

/**
 * Moments of each channel of a value (of all values without an axis), or of each column of layer inputs. Batches are merged without
 * cancellation (Chan, Golub and LeVeque 1983), for means m and sums of squared deviations M:
 *
 *     n = n_a + n_b,  δ = m_b - m_a,  m = m_a + δ n_b / n,  M = M_a + M_b + δ² n_a n_b / n
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
          let [sum, zeroCount, squaredDeviations] = [0, 0, 0];
          for (let start = column * inner; start < numbers.length; start += width * inner) {
            for (let index = start; index < start + inner; index++) {
              const value = numbers[index] ?? 0;
              sum += value;
              if (value === 0) zeroCount++;
            }
          }
          const batchMean = sum / rows;
          for (let start = column * inner; start < numbers.length; start += width * inner)
            for (let index = start; index < start + inner; index++)
              squaredDeviations += ((numbers[index] ?? 0) - batchMean) ** 2;
          const delta = batchMean - (mean[column] ?? 0);
          mean[column] = (mean[column] ?? 0) + (delta * rows) / (count + rows);
          squares[column] =
            (squares[column] ?? 0) + squaredDeviations + (delta * delta * count * rows) / (count + rows);
          zeros[column] = (zeros[column] ?? 0) + zeroCount;
        }
        count += rows;
      },
      end: () => ({ count, mean, variance: squares.map((sum) => sum / count), zeros: zeros.map((sum) => sum / count) }),
    };
  },
};

/** Sums of each channel of a value y and of the original's value x, on the same samples. */
export interface PairedSums {
  readonly count: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly xx: Float64Array;
  readonly xy: Float64Array;
  readonly yy: Float64Array;
}

/** With this number of positions, every fifth is read. A step of 2 or 4 would read one phase of an enlarged image. */
const manyPositions = 2048;

export const pairedSums: Statistic<PairedSums> = {
  begin() {
    let count = 0;
    const sumsOf = (width: number) => Array.from({ length: 5 }, () => new Float64Array(width));
    let [x = new Float64Array(), y = x, xx = x, xy = x, yy = x] = sumsOf(0);
    return {
      add({ rows, columns, groups, inner, values }, original) {
        const [numbers, originals, width] = [values(), original?.values() ?? new Float64Array(), columns * groups];
        if (count === 0) [x = x, y = y, xx = xx, xy = xy, yy = yy] = sumsOf(width);
        const stride = inner < manyPositions ? 1 : 5;
        count += (rows / Math.max(1, inner)) * Math.ceil(inner / stride);
        for (let start = 0, run = 0; start < numbers.length; start += inner, run++) {
          let [sumX, sumY, sumXX, sumXY, sumYY] = [0, 0, 0, 0, 0];
          for (let index = start; index < start + inner; index += stride) {
            const [a, b] = [originals[index] ?? 0, numbers[index] ?? 0];
            sumX += a;
            sumY += b;
            sumXX += a * a;
            sumXY += a * b;
            sumYY += b * b;
          }
          const channel = run % width;
          x[channel] = (x[channel] ?? 0) + sumX;
          y[channel] = (y[channel] ?? 0) + sumY;
          xx[channel] = (xx[channel] ?? 0) + sumXX;
          xy[channel] = (xy[channel] ?? 0) + sumXY;
          yy[channel] = (yy[channel] ?? 0) + sumYY;
        }
      },
      end: () => ({ count, x, y, xx, xy, yy }),
    };
  },
};

export interface RowReads {
  /** Maps each index, which can be negative, to its number of reads. */
  readonly reads: ReadonlyMap<number, number>;
}

export const rowReads: Statistic<RowReads> = {
  begin() {
    const reads = new Map<number, number>();
    return {
      add(batch) {
        for (const index of batch.values()) reads.set(index, (reads.get(index) ?? 0) + 1);
      },
      end: () => ({ reads }),
    };
  },
};
