import { firstIndex } from "../tensor/first-index.ts";

/** A piece of a sequence that occurs `count` times in a row: elements [start, start + period · count). */
export interface Repeat {
  readonly start: number;
  readonly period: number;
  readonly count: number;
}

/** The maximum length of a repeated piece. Blocks have tens of parts, and each length costs a scan of the sequence. */
const maxPeriod = 1000;

/**
 * Returns disjoint repetitions in the order of the sequence. Chooses the repetition with the greatest total weight first, with its shortest period.
 * If the length is not a multiple of the period, the extra elements at the start are left out, because a repetition ends with its last piece.
 */
export function repeats(kinds: readonly unknown[], weights: readonly number[]): readonly Repeat[] {
  const sums = [0];
  for (const weight of weights) sums.push((sums.at(-1) ?? 0) + weight);
  const completeRepeat = ({ from, to, period }: Stretch): WeightedRepeat => {
    const count = Math.floor((to - from) / period);
    const start = to - period * count;
    return { from, to, start, period, count, weight: (sums[to] ?? 0) - (sums[start] ?? 0) };
  };
  const order = (a: WeightedRepeat, b: WeightedRepeat): number =>
    a.weight - b.weight || b.period - a.period || b.start - a.start;
  const open = runsOf(kinds).map(completeRepeat).sort(order);
  const addCandidate = (run: Stretch): void => {
    if (run.to - run.from < 2 * run.period) return;
    const cut = completeRepeat(run);
    const position = firstIndex(0, open.length, (index) => order(open[index] ?? cut, cut) >= 0);
    open.splice(position, 0, cut);
  };

  const chosen: Repeat[] = [];
  const ends = new Int32Array(kinds.length);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { from, to, start, period, count } = next;
    let clash = from;
    while (clash < to && ends[clash] === 0) clash++;
    if (clash === to) {
      ends.fill(to, start, to);
      chosen.push({ start, period, count });
    } else {
      addCandidate({ from, to: clash, period });
      addCandidate({ from: ends[clash] ?? to, to, period });
    }
  }
  return chosen.sort((a, b) => a.start - b.start);
}

/** A maximal range [from, to) in which each element equals the element one period later. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly period: number;
}

interface WeightedRepeat extends Stretch, Repeat {
  readonly weight: number;
}

function runsOf(kinds: readonly unknown[]): readonly Stretch[] {
  const numbers = new Map<unknown, number>();
  const ids = Int32Array.from(kinds, (kind) => {
    const id = numbers.get(kind) ?? numbers.size;
    numbers.set(kind, id);
    return id;
  });
  const runs: Stretch[] = [];
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
