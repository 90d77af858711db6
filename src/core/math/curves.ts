/** Returns the value after a share `t` of the rounds. */
export type Curve = (t: number, from: number, to: number) => number;

/** Drops the last digits, in which powers differ between machines. */
export const withoutLastDigits = (value: number): number => Number(value.toPrecision(12));

export const curves = {
  linear: (t, from, to) => from + (to - from) * t,
  /** Fast at first, slow at the end: M. Zhu, S. Gupta, "To prune, or not to prune", 2017, equation 1. */
  cubic: (t, from, to) => to + (from - to) * (1 - t) ** 3,
  /** A constant factor per round; undefined if an end is 0 or the signs differ. */
  exponential: (t, from, to) => (from * to > 0 ? from * (to / from) ** t : Number.NaN),
} satisfies Record<string, Curve>;
