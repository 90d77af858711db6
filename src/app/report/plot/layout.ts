/**
 * Layered drawing of a directed acyclic graph, top to bottom (after Sugiyama, Tagawa, Toda 1981).
 *
 * 1. Rank: the longest path from a source; sources are directly above their first consumer. Edges get a point on each rank between, and edges from
 *    one box share them.
 * 2. Order within a rank: sweeps move each box to the mean position of its neighbors, which reduces crossings.
 * 3. Position: the least-squares positions nearest to the neighbors' means that keep order and distance (isotonic regression by pooling).
 */

export interface Box {
  readonly width: number;
  /** Space to the right of the center if it exceeds half the width, for text next to the box. */
  readonly right?: number;
}

export interface Point {
  readonly x: number;
  readonly rank: number;
}

export interface Layout {
  readonly boxes: readonly Point[];
  /** Points of each edge including its ends. The longest edge has a shared line; others start where they leave it. */
  readonly edges: readonly (readonly Point[])[];
  readonly ranks: number;
  readonly width: number;
}

interface Item {
  readonly rank: number;
  readonly left: number;
  readonly right: number;
  readonly bend: boolean;
  readonly above: Item[];
  readonly below: Item[];
  order: number;
  x: number;
}

const gap = 20;
const edgeGap = 6;
/** Fraction by which a sweep moves boxes toward the middle; without it a deep network drifts sideways. */
const pull = 0.1;
/** Real networks converge within these sweeps. */
const orderSweeps = 8;
const placeSweeps = 12;
/** Sweeps that move everything between its neighbors, which straightens lines. */
const straightSweeps = 16;

/** Maximum number of points, because long edges over thousands of ranks would have millions. Further edges are straight. */
const mostItems = 200_000;

/** @param edges pairs of indices into `boxes`, each from a lower to a higher one in topological order. */
export function layout(boxes: readonly Box[], edges: readonly (readonly [number, number])[]): Layout {
  const rankOf = rank(boxes.length, edges);
  const items = boxes.map((box, index): Item => item(rankOf[index] ?? 0, box, false));
  const all = [...items];
  const rails = new Map<Item, Item[]>();
  for (const [from, to] of edges) {
    const [start, end] = [items[from], items[to]];
    if (start === undefined || end === undefined) continue;
    const rail = rails.get(start) ?? [];
    rails.set(start, rail);
    while (start.rank + rail.length + 1 < end.rank && all.length < mostItems) {
      const bend = item(start.rank + rail.length + 1, { width: 1 }, true);
      connect(rail.at(-1) ?? start, bend);
      rail.push(bend);
      all.push(bend);
    }
    connect(rail[end.rank - start.rank - 2] ?? start, end);
  }
  const ranks = rankOf.reduce((most, one) => Math.max(most, one), 0) + 1;
  const levels = Array.from({ length: ranks }, (): Item[] => []);
  for (const one of all) levels[one.rank]?.push(one);
  for (const level of levels) renumber(level);
  for (let sweep = 0; sweep < orderSweeps; sweep++) {
    if (sweep % 2 === 0) for (const level of levels) reorder(level, "above");
    else for (const level of levels.toReversed()) reorder(level, "below");
  }
  for (const level of levels) place(level, (one) => (one.order - (level.length - 1) / 2) * gap);
  for (let sweep = 0; sweep < placeSweeps; sweep++) {
    const down = sweep % 2 === 0;
    for (const level of down ? levels : levels.toReversed()) place(level, (one) => (1 - pull) * wanted(one, down));
  }
  for (let sweep = 0; sweep < straightSweeps; sweep++) {
    for (const level of sweep % 2 === 0 ? levels : levels.toReversed()) place(level, between);
  }
  const left = all.reduce((least, one) => Math.min(least, one.x - one.left), 0);
  const right = all.reduce((most, one) => Math.max(most, one.x + one.right), 0);
  const point = (one: Item): Point => ({ x: one.x - left, rank: one.rank });
  const drawn = new Set<Item>();
  const lines = edges.map(([from, to]) => {
    const [start, end] = [items[from], items[to]];
    if (start === undefined || end === undefined) return [];
    const rail = rails.get(start) ?? [];
    const bends = end.rank - start.rank - 1;
    // The first full-length edge owns the line; others leave it at their last bend.
    if (bends < rail.length || drawn.has(start)) return [rail[bends - 1] ?? start, end].map(point);
    drawn.add(start);
    return [start, ...rail, end].map(point);
  });
  return { boxes: items.map(point), edges: lines, ranks, width: right - left };
}

function item(level: number, { width, right = 0 }: Box, bend: boolean): Item {
  return {
    rank: level,
    left: width / 2,
    right: Math.max(right, width / 2),
    bend,
    above: [],
    below: [],
    order: 0,
    x: 0,
  };
}

function connect(from: Item, to: Item): void {
  from.below.push(to);
  to.above.push(from);
}

function rank(count: number, edges: readonly (readonly [number, number])[]): number[] {
  const ranks = new Array<number>(count).fill(0);
  const first = new Array<number>(count).fill(Number.POSITIVE_INFINITY);
  const source = new Array<boolean>(count).fill(true);
  for (const [from, to] of [...edges].sort(([a], [b]) => a - b)) {
    ranks[to] = Math.max(ranks[to] ?? 0, (ranks[from] ?? 0) + 1);
    source[to] = false;
  }
  for (const [from, to] of edges) first[from] = Math.min(first[from] ?? 0, ranks[to] ?? 0);
  return ranks.map((own, index) => {
    const below = first[index] ?? 0;
    return source[index] === true && Number.isFinite(below) ? below - 1 : own;
  });
}

function renumber(level: readonly Item[]): void {
  level.forEach((one, order) => {
    one.order = order;
  });
}

function reorder(level: Item[], side: "above" | "below"): void {
  const keys = new Map(
    level.map((one) => [one, one[side].length === 0 ? one.order : mean(one[side], (other) => other.order)]),
  );
  level.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
  renumber(level);
}

function between(one: Item): number {
  const sides = [one.above, one.below].filter((side) => side.length > 0);
  if (sides.length === 0) return one.x;
  return sides.reduce((sum, side) => sum + mean(side, (other) => other.x), 0) / sides.length;
}

/** Aligns with the previous rank first. */
function wanted(one: Item, down: boolean): number {
  const [first, second] = down ? [one.above, one.below] : [one.below, one.above];
  const neighbours = first.length > 0 ? first : second;
  return neighbours.length === 0 ? one.x : mean(neighbours, (other) => other.x);
}

function mean(items: readonly Item[], value: (one: Item) => number): number {
  return items.reduce((sum, one) => sum + value(one), 0) / items.length;
}

function place(level: readonly Item[], want: (one: Item) => number): void {
  const pools: { sum: number; count: number }[] = [];
  const offsets: number[] = [];
  let offset = 0;
  let before: Item | undefined;
  for (const one of level) {
    // After subtracting the required distances, "no overlap" is "not decreasing".
    if (before !== undefined) offset += before.right + one.left + (before.bend && one.bend ? edgeGap : gap);
    before = one;
    offsets.push(offset);
    const pool = { sum: want(one) - offset, count: 1 };
    for (let last = pools.at(-1); last !== undefined && average(last) > average(pool); last = pools.at(-1)) {
      pools.pop();
      pool.sum += last.sum;
      pool.count += last.count;
    }
    pools.push(pool);
  }
  let at = 0;
  for (const pool of pools) {
    const from = average(pool);
    for (const end = at + pool.count; at < end; at++) {
      const one = level[at];
      if (one !== undefined) one.x = from + (offsets[at] ?? 0);
    }
  }
}

function average({ sum, count }: { readonly sum: number; readonly count: number }): number {
  return sum / count;
}
