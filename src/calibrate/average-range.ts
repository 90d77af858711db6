import { type ValueRange, valueRange } from "./observe.ts";
import type { Statistic } from "./statistic.ts";

const share = 0.01;

/** The moving average of each batch's range, m + 0.01 (m' - m), starting with that of the first. */
export const averageRange: Statistic<ValueRange> = {
  ...valueRange,
  begin() {
    let average: ValueRange | undefined;
    return {
      add(batch) {
        const one = valueRange.begin();
        void one.add(batch);
        const { min, max } = one.end();
        if (min > max) return;
        average =
          average === undefined
            ? { min, max }
            : { min: average.min + share * (min - average.min), max: average.max + share * (max - average.max) };
      },
      end: () => average ?? { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY },
    };
  },
};
