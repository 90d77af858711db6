import type { ValueRange } from "./observe.ts";
import type { Statistic } from "./statistic.ts";

/** Counts of values in bins of one width; the first bin starts at `start`, a multiple of the width. */
export interface Histogram extends ValueRange {
  readonly counts: Float64Array;
  readonly start: number;
  readonly width: number;
  /** Number of zeros, which `counts` includes. */
  readonly zeros: number;
}

/**
 * Histogram of 8192 bins over [-b, b), where b is the smallest power of two that covers the values, so at least 2048 bins are in
 * the range. One pass suffices: if a value is outside, b doubles and, counted from 0, bins i and i + 1 of width w become bin i /
 * 2 of width 2 w. With infinities or NaN only the range is known.
 * @example
 * const seen = await observe(createEngine(), model, calibration, ["conv1.out"], histogram);
 * seen.get("conv1.out")?.counts; // 8192 numbers, each of [start + at * width, start + (at + 1) * width)
 */
export const histogram: Statistic<Histogram> = {
  begin() {
    const counter = new Counter();
    return {
      add({ values }) {
        counter.add(values());
      },
      end: () => counter.histogram,
    };
  },
};

const parts = 8192;
const middle = parts / 2;

class Counter {
  readonly #counts = new Float64Array(parts);
  #bound = 2 ** -200;
  #zeros = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  get histogram(): Histogram {
    const [min, max, start] = [this.#min, this.#max, -this.#bound];
    return { min, max, counts: this.#counts, start, width: (-2 * start) / parts, zeros: this.#zeros };
  }

  add(numbers: Float32Array | Float64Array): void {
    for (let index = this.#count(numbers, 0); index < numbers.length; ) {
      const size = Math.abs(numbers[index] ?? 0);
      if (Number.isFinite(size)) {
        const wider = 2 ** (Math.floor(Math.log2(size)) + 1);
        widen(this.#counts, wider / this.#bound);
        this.#bound = wider;
      } else {
        this.#min = Math.min(this.#min, numbers[index] ?? 0);
        this.#max = Math.max(this.#max, numbers[index] ?? 0);
        index++;
      }
      index = this.#count(numbers, index);
    }
  }

  /** Counts from a position. @returns the position of the first value outside all bins, or the end. */
  #count(numbers: Float32Array | Float64Array, from: number): number {
    const counts = this.#counts;
    const factor = parts / (2 * this.#bound);
    let index = from;
    let zeros = 0;
    let min = this.#min;
    let max = this.#max;
    for (; index < numbers.length; index++) {
      const number = numbers[index] ?? 0;
      const part = middle + Math.floor(number * factor);
      if (!(part >= 0 && part < parts)) break;
      counts[part] = (counts[part] ?? 0) + 1;
      // After a Relu half of the values are 0, so a branch would be mispredicted.
      zeros += Number(number === 0);
      if (number < min) min = number;
      if (number > max) max = number;
    }
    this.#zeros += zeros;
    this.#min = min;
    this.#max = max;
    return index;
  }
}

function widen(counts: Float64Array, factor: number): void {
  const narrow = counts.slice();
  counts.fill(0);
  for (const [index, number] of narrow.entries()) {
    const part = middle + Math.floor((index - middle) / factor);
    counts[part] = (counts[part] ?? 0) + number;
  }
}
