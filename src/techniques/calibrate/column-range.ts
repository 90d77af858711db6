import type { Statistic } from "./statistic.ts";

export interface ColumnRange {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/**
 * The minimum and maximum of each column, including 0.
 * @example
 * const seen = await observe(createEngine(), model, calibration, [{ name: "conv1.out", axis: 1 }], columnRange);
 */
export const columnRange: Statistic<ColumnRange> = {
  begin() {
    let [min, max] = [new Float64Array(), new Float64Array()];
    return {
      add({ columns, groups, inner, values }) {
        const [numbers, width] = [values(), columns * groups];
        if (min.length === 0) [min, max] = [new Float64Array(width), new Float64Array(width)];
        for (let start = 0, stretch = 0; start < numbers.length; start += inner, stretch++) {
          const column = stretch % width;
          let [low, high] = [min[column] ?? 0, max[column] ?? 0];
          for (let at = start; at < start + inner; at++) {
            const value = numbers[at] ?? 0;
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
