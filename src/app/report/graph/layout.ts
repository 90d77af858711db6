/**
 * Computes a layered drawing of a directed acyclic graph, from top to bottom (after Sugiyama, Tagawa, Toda 1981):
 * 1. Rank (row): the length of the longest path from a source. Edges get a point on each rank between their ends.
 * 2. Order within a rank: sweeps move each box to the mean position of its neighbors, which reduces crossings.
 * 3. Position: least squared distance to the means of the neighbors (isotonic regression by pooling).
 */

export interface LayoutBox {
  readonly width: number;
  /** Space to the right of the center, if it exceeds half the width. */
  readonly right?: number;
}

export interface Point {
  readonly x: number;
  readonly rank: number;
}

export interface Layout {
  readonly boxes: readonly Point[];
  /** Points of each edge. The longest edge of a box has them from end to end; other edges start where they leave it. */
  readonly edges: readonly (readonly Point[])[];
  readonly ranks: number;
  readonly width: number;
}

interface Item {
  readonly rank: number;
  readonly left: number;
  readonly right: number;
  readonly isBend: boolean;
  readonly above: Item[];
  readonly below: Item[];
  order: number;
  x: number;
}

const gap = 20;
const edgeGap = 6;
/** Fraction by which each sweep moves boxes toward the middle. With 0, a deep network drifts sideways. */
const centerPull = 0.1;
/** Numbers of sweeps for order and for position. */
const orderSweeps = 8;
const placeSweeps = 12;
/** Number of sweeps that move every box to the middle of its neighbors, which straightens lines. */
const straightSweeps = 16;

/** Maximum number of boxes and points of edges. Further edges are straight. */
const maxItems = 200_000;

/** Computes the layout. @param edges pairs of indices into `boxes`, which are in topological order: the first index is lower. */
export function layout(boxes: readonly LayoutBox[], edges: readonly (readonly [number, number])[]): Layout {
  const rankOf = computeRanks(boxes.length, edges);
  const items = boxes.map((box, index) => createItem(rankOf[index] ?? 0, box, false));
  const allItems = [...items];
  const railsOf = new Map<Item, Item[]>();
  for (const [from, to] of edges) {
    const [start, end] = [items[from], items[to]];
    if (start === undefined || end === undefined) continue;
    const rail = railsOf.get(start) ?? [];
    railsOf.set(start, rail);
    while (start.rank + rail.length + 1 < end.rank && allItems.length < maxItems) {
      const bend = createItem(start.rank + rail.length + 1, { width: 1 }, true);
      connect(rail.at(-1) ?? start, bend);
      rail.push(bend);
      allItems.push(bend);
    }
    connect(rail[end.rank - start.rank - 2] ?? start, end);
  }
  const ranks = rankOf.reduce((high, rank) => Math.max(high, rank), 0) + 1;
  const levels = Array.from({ length: ranks }, (): Item[] => []);
  for (const item of allItems) levels[item.rank]?.push(item);
  for (const level of levels) renumber(level);
  for (let sweep = 0; sweep < orderSweeps; sweep++) {
    if (sweep % 2 === 0) for (const level of levels) reorder(level, "above");
    else for (const level of levels.toReversed()) reorder(level, "below");
  }
  for (const level of levels) placeLevel(level, (item) => (item.order - (level.length - 1) / 2) * gap);
  for (let sweep = 0; sweep < placeSweeps; sweep++) {
    const isDown = sweep % 2 === 0;
    for (const level of isDown ? levels : levels.toReversed())
      placeLevel(level, (item) => (1 - centerPull) * alignedX(item, isDown));
  }
  for (let sweep = 0; sweep < straightSweeps; sweep++) {
    for (const level of sweep % 2 === 0 ? levels : levels.toReversed()) placeLevel(level, centeredX);
  }
  const minX = allItems.reduce((low, item) => Math.min(low, item.x - item.left), 0);
  const maxX = allItems.reduce((high, item) => Math.max(high, item.x + item.right), 0);
  const point = (item: Item): Point => ({ x: item.x - minX, rank: item.rank });
  const drawnSources = new Set<Item>();
  const lines = edges.map(([from, to]) => {
    const [start, end] = [items[from], items[to]];
    if (start === undefined || end === undefined) return [];
    const rail = railsOf.get(start) ?? [];
    const bends = end.rank - start.rank - 1;
    // The first edge of full length draws the shared line.
    if (bends < rail.length || drawnSources.has(start)) return [rail[bends - 1] ?? start, end].map(point);
    drawnSources.add(start);
    return [start, ...rail, end].map(point);
  });
  return { boxes: items.map(point), edges: lines, ranks, width: maxX - minX };
}

function createItem(rank: number, { width, right = 0 }: LayoutBox, isBend: boolean): Item {
  const half = width / 2;
  return { rank, left: half, right: Math.max(right, half), isBend, above: [], below: [], order: 0, x: 0 };
}

function connect(from: Item, to: Item): void {
  from.below.push(to);
  to.above.push(from);
}

function computeRanks(count: number, edges: readonly (readonly [number, number])[]): number[] {
  const ranks = new Array<number>(count).fill(0);
  const firstReader = new Array<number>(count).fill(Number.POSITIVE_INFINITY);
  const isSource = new Array<boolean>(count).fill(true);
  for (const [from, to] of [...edges].sort(([a], [b]) => a - b)) {
    ranks[to] = Math.max(ranks[to] ?? 0, (ranks[from] ?? 0) + 1);
    isSource[to] = false;
  }
  for (const [from, to] of edges) firstReader[from] = Math.min(firstReader[from] ?? 0, ranks[to] ?? 0);
  return ranks.map((rank, index) => {
    const reader = firstReader[index] ?? 0;
    return isSource[index] === true && Number.isFinite(reader) ? reader - 1 : rank;
  });
}

function renumber(level: readonly Item[]): void {
  for (const [order, item] of level.entries()) item.order = order;
}

function reorder(level: Item[], side: "above" | "below"): void {
  const keys = new Map(
    level.map((item) => [item, item[side].length === 0 ? item.order : mean(item[side], ({ order }) => order)]),
  );
  level.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
  renumber(level);
}

function centeredX({ above, below, x }: Item): number {
  const sides = [above, below].filter((side) => side.length > 0);
  if (sides.length === 0) return x;
  return sides.reduce((sum, side) => sum + mean(side, (neighbor) => neighbor.x), 0) / sides.length;
}

/** Returns the mean position of the neighbors in the rank that was placed before, or else in the other rank. */
function alignedX({ above, below, x }: Item, isDown: boolean): number {
  const [first, second] = isDown ? [above, below] : [below, above];
  const neighbors = first.length > 0 ? first : second;
  return neighbors.length === 0 ? x : mean(neighbors, (neighbor) => neighbor.x);
}

function mean(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0) / items.length;
}

/** Moves the items of a rank close to their preferred positions, without overlap. */
function placeLevel(level: readonly Item[], preferredX: (item: Item) => number): void {
  const pools: { sum: number; count: number }[] = [];
  const offsets: number[] = [];
  let offset = 0;
  let before: Item | undefined;
  for (const item of level) {
    // If the required distances are subtracted, positions that do not decrease do not overlap.
    if (before !== undefined) offset += before.right + item.left + (before.isBend && item.isBend ? edgeGap : gap);
    before = item;
    offsets.push(offset);
    const pool = { sum: preferredX(item) - offset, count: 1 };
    for (let last = pools.at(-1); last !== undefined && average(last) > average(pool); last = pools.at(-1)) {
      pools.pop();
      pool.sum += last.sum;
      pool.count += last.count;
    }
    pools.push(pool);
  }
  const positions = pools.flatMap((pool) => new Array<number>(pool.count).fill(average(pool)));
  for (const [index, item] of level.entries()) item.x = (positions[index] ?? 0) + (offsets[index] ?? 0);
}

function average({ sum, count }: { readonly sum: number; readonly count: number }): number {
  return sum / count;
}
