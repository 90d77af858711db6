/** A metric value with its confidence interval and number of samples. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** The confidence level of the interval, such as 0.95. */
  readonly confidence: number;
}

/** The unit of a metric: a share of samples (0 to 1), decibels, nats, or none. */
export type Unit = "share" | "dB" | "nats" | "";

/** The confidence of intervals of interim analyses (`earlyLevel`). */
export const earlyConfidence = 0.9973;
