/** How a value goes from its first to its last. */

/** The value where a share `t` of the rounds is done. */
export type Curve = (t: number, from: number, to: number) => number;

/** Without its last digits: powers differ between machines there. */
export const withoutLastDigits = (value: number): number => Number(value.toPrecision(12));

/** Curves by the word that stands for them in a recipe. */
export const curves = {
  linear: (t, from, to) => from + (to - from) * t,
  /** Fast at first, slow towards the end: M. Zhu, S. Gupta, "To prune, or not to prune", 2017, equation 1. */
  cubic: (t, from, to) => to + (from - to) * (1 - t) ** 3,
  /** By the same factor in each round; there is none from 0, to 0 or through 0. */
  exponential: (t, from, to) => (from * to > 0 ? from * (to / from) ** t : Number.NaN),
} satisfies Record<string, Curve>;
