/** Repetitions in a row: where a sequence goes on as it went before. */

export interface Repeat {
  readonly start: number;
  /** How long one is. */
  readonly period: number;
  readonly count: number;
}

/**
 * Stretches of a sequence that are one piece several times, in their order. The stretch that covers most weight is taken first, in its
 * shortest period, then those beside it. One that could begin earlier begins as late as it can without losing a piece: what repeats ends
 * with the last of its pieces.
 */
export function repeats(kinds: readonly unknown[], weights: readonly number[]): readonly Repeat[] {
  const sums = [0];
  for (const weight of weights) sums.push((sums.at(-1) ?? 0) + weight);
  const weightOf = ({ start, period, count }: Repeat): number =>
    (sums[start + period * count] ?? 0) - (sums[start] ?? 0);

  const within = (from: number, to: number): readonly Repeat[] => {
    let best: Repeat | undefined;
    for (let period = 1; 2 * period <= to - from; period++) {
      let equal = 0;
      for (let at = from; at + period <= to; at++) {
        if (at + period < to && kinds[at] === kinds[at + period]) {
          equal++;
          continue;
        }
        const count = Math.floor(equal / period) + 1;
        const found = { start: at + period - period * count, period, count };
        if (count > 1 && (best === undefined || weightOf(found) > weightOf(best))) best = found;
        equal = 0;
      }
    }
    if (best === undefined) return [];
    return [...within(from, best.start), best, ...within(best.start + best.period * best.count, to)];
  };
  return within(0, kinds.length);
}
