/** Means of elements over the samples so far (Welford, 1962). */
export class RunningMeans {
  readonly means: Float64Array;
  readonly #counts: Float64Array;

  constructor(width: number) {
    this.means = new Float64Array(width);
    this.#counts = new Float64Array(width);
  }

  /** Adds a value x to the mean m of n − 1 values. Returns (x − m)² (n − 1) / n, whose sum over the values is Σ (x − mean)². */
  add(index: number, value: number): number {
    const position = index % this.means.length;
    const count = (this.#counts[position] ?? 0) + 1;
    const deviation = value - (this.means[position] ?? 0);
    this.#counts[position] = count;
    this.means[position] = (this.means[position] ?? 0) + deviation / count;
    return deviation * (value - (this.means[position] ?? 0));
  }
}
