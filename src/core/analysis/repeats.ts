/** Finds pieces of a sequence that occur several times in a row. */
import { firstIndex } from "#graph";

/** A piece of `period` elements that occurs `count` times in a row, from index `start`. */
export interface Repeat {
  readonly start: number;
  readonly period: number;
  readonly count: number;
}

/** The maximum length of a repeated piece, because each length costs a scan of the sequence. */
const maxPeriod = 1000;

/** Finds repetitions that do not overlap, in order. Those with a large total weight are chosen first, then those with a short period. */
export function findRepeats(kinds: readonly unknown[], weights: readonly number[]): readonly Repeat[] {
  const sums = [0];
  for (const weight of weights) sums.push((sums.at(-1) ?? 0) + weight);
  const completeRepeat = ({ from, to, period }: PeriodicRange): WeightedRepeat => {
    const count = Math.floor((to - from) / period);
    const start = to - period * count;
    return { from, to, start, period, count, weight: (sums[to] ?? 0) - (sums[start] ?? 0) };
  };
  const compare = (a: WeightedRepeat, b: WeightedRepeat): number =>
    a.weight - b.weight || b.period - a.period || b.start - a.start;
  const candidates = periodicRanges(kinds).map(completeRepeat).sort(compare);
  const addCandidate = (run: PeriodicRange): void => {
    if (run.to - run.from < 2 * run.period) return;
    const candidate = completeRepeat(run);
    const position = firstIndex(
      0,
      candidates.length,
      (index) => compare(candidates[index] ?? candidate, candidate) >= 0,
    );
    candidates.splice(position, 0, candidate);
  };

  const selection: Repeat[] = [];
  const ends = new Int32Array(kinds.length);
  for (let next = candidates.pop(); next !== undefined; next = candidates.pop()) {
    const { from, to, start, period, count } = next;
    let overlap = from;
    while (overlap < to && ends[overlap] === 0) overlap++;
    if (overlap === to) {
      ends.fill(to, start, to);
      selection.push({ start, period, count });
    } else {
      addCandidate({ from, to: overlap, period });
      addCandidate({ from: ends[overlap] ?? to, to, period });
    }
  }
  return selection.sort((a, b) => a.start - b.start);
}

/** A maximal periodic range [from, to): each element equals the element one period later. */
interface PeriodicRange {
  readonly from: number;
  readonly to: number;
  readonly period: number;
}

interface WeightedRepeat extends PeriodicRange, Repeat {
  readonly weight: number;
}

function periodicRanges(kinds: readonly unknown[]): readonly PeriodicRange[] {
  const numbers = new Map<unknown, number>();
  const ids = Int32Array.from(kinds, (kind) => {
    const id = numbers.get(kind) ?? numbers.size;
    numbers.set(kind, id);
    return id;
  });
  const runs: PeriodicRange[] = [];
  for (let period = 1; period <= Math.min(maxPeriod, ids.length / 2); period++) {
    let from = 0;
    for (let index = 0; index + period <= ids.length; index++) {
      if (index + period < ids.length && ids[index] === ids[index + period]) continue;
      if (index - from >= period) runs.push({ from, to: index + period, period });
      from = index + 1;
    }
  }
  return runs;
}
