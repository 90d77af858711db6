/** The shape of a pruning schedule over several rounds: returns the value between `from` and `to` when a share `t` of the rounds has passed. */
export type Curve = (t: number, from: number, to: number) => number;

/** Rounds to 12 digits, because further digits of powers differ between machines. */
export const dropLastDigits = (value: number): number => Number(value.toPrecision(12));

export const curves = {
  linear: (t, from, to) => from + (to - from) * t,
  /** Changes fast at first and slowly at the end (Zhu and Gupta, "To prune, or not to prune", 2017, equation 1). */
  cubic: (t, from, to) => to + (from - to) * (1 - t) ** 3,
  /** Changes by a constant factor per round. NaN if `from` or `to` is 0, or if their signs differ. */
  exponential: (t, from, to) => (from * to > 0 ? from * (to / from) ** t : Number.NaN),
} satisfies Record<string, Curve>;
