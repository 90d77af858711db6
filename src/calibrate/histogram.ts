import type { ValueRange } from "./observe.ts";
import type { Statistic } from "./statistic.ts";

/** How many numbers lie in each of so many parts of a range, all equally wide. */
export interface Histogram extends ValueRange {
  readonly counts: Float64Array;
}

/**
 * How often the numbers of a value fall into each part of a range, which is known: `observeRanges` has it. What lies outside counts in the parts at the
 * ends.
 * @example
 * const seen = await observe(engine, model, calibration, ["conv1.out"], histogram({ min: -3.1, max: 8.4 }));
 * seen.get("conv1.out")?.counts; // 2048 numbers
 */
export const histogram = ({ min, max }: ValueRange, parts = 2048): Statistic<Histogram> => ({
  begin() {
    const counts = new Float64Array(parts);
    const factor = parts / (max - min);
    return {
      add({ values }) {
        for (const value of values()) {
          const part = Math.min(parts - 1, Math.max(0, Math.floor((value - min) * factor)));
          counts[part] = (counts[part] ?? 0) + 1;
        }
      },
      end: () => ({ min, max, counts }),
    };
  },
});
