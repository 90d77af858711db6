import type { ValueRange } from "./observe.ts";
import type { Statistic } from "./statistic.ts";

/** Counts of values in bins of equal width. The first bin starts at `start`, a multiple of the width. */
export interface Histogram extends ValueRange {
  readonly counts: Float64Array;
  readonly start: number;
  readonly width: number;
  /** Number of zeros, which `counts` includes. */
  readonly zeros: number;
}

/**
 * Histogram of 8192 bins over [-b, b), where b is a power of two that covers the values. One pass over the samples suffices: if a
 * value is outside, b grows, and neighboring bins are merged. Infinities and NaN are not counted; they change `min` and `max`.
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

const binCount = 8192;
const zeroBin = binCount / 2;

class Counter {
  readonly #counts = new Float64Array(binCount);
  #bound = 2 ** -200;
  #zeros = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  get histogram(): Histogram {
    const [min, max, start] = [this.#min, this.#max, -this.#bound];
    return { min, max, counts: this.#counts, start, width: (-2 * start) / binCount, zeros: this.#zeros };
  }

  add(numbers: Float32Array | Float64Array): void {
    for (let index = this.#count(numbers, 0); index < numbers.length; ) {
      const size = Math.abs(numbers[index] ?? 0);
      if (Number.isFinite(size)) {
        const newBound = 2 ** (Math.floor(Math.log2(size)) + 1);
        widen(this.#counts, newBound / this.#bound);
        this.#bound = newBound;
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
    const factor = binCount / (2 * this.#bound);
    let index = from;
    let zeros = 0;
    let min = this.#min;
    let max = this.#max;
    for (; index < numbers.length; index++) {
      const number = numbers[index] ?? 0;
      const bin = zeroBin + Math.floor(number * factor);
      if (!(bin >= 0 && bin < binCount)) break;
      counts[bin] = (counts[bin] ?? 0) + 1;
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
    const bin = zeroBin + Math.floor((index - zeroBin) / factor);
    counts[bin] = (counts[bin] ?? 0) + number;
  }
}
