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
export const histogram = (range: ValueRange, parts = 2048): Statistic<Histogram> => ({
  begin() {
    const counts = new Float64Array(parts);
    return {
      add({ values }) {
        count(values(), range, counts);
      },
      end: () => ({ ...range, counts }),
    };
  },
});

/** A function of its own, which is compiled once for all values, and not anew for each. */
function count(numbers: Float32Array | Float64Array, { min, max }: ValueRange, counts: Float64Array): void {
  const factor = counts.length / (max - min);
  const last = counts.length - 1;
  for (let at = 0; at < numbers.length; at++) {
    const place = ((numbers[at] ?? 0) - min) * factor;
    if (place >= 0) {
      const part = place < last ? place | 0 : last;
      counts[part] = (counts[part] ?? 0) + 1;
    } else if (place < 0) counts[0] = (counts[0] ?? 0) + 1;
  }
}
