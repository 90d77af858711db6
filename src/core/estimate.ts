/** The unit of a metric: a share of samples (0 to 1), decibels, nats, or none. */
export type Unit = "share" | "dB" | "nats" | "";

/** A metric value with its confidence interval and number of samples. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** The confidence level of the interval: 0.95, higher for several comparisons, or 0.9973 for one that ended before all samples were used. */
  readonly confidence: number;
}
