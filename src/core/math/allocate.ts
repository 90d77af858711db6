/**
 * Spreads one budget over several items with the least total loss. Each item stays unchanged or takes one of its offers (cost, loss). Moves are made
 * in the order of Δ loss / Δ cost on the lower convex hulls, which is optimal up to the last move (Everett 1963, generalized Lagrange multipliers).
 */

export interface Offer<T> {
  readonly cost: number;
  readonly loss: number;
  readonly choice: T;
}

export interface Item<T> {
  readonly whole: number;
  readonly offers: readonly Offer<T>[];
}

/**
 * @param fixed The cost besides the items.
 * @returns the selected offer of each item, undefined for an unchanged item, and the total cost, which exceeds the budget only if all offers do.
 * @example
 * const items = [{ whole: 10, offers: [{ cost: 4, loss: 1, choice: "few bits" }] }, { whole: 10, offers: [{ cost: 4, loss: 5, choice: "few bits" }] }];
 * allocate(items, 14); // { taken: [the first offer, undefined], cost: 14 }
 */
export function allocate<T>(
  items: readonly Item<T>[],
  budget: number,
  fixed = 0,
): { readonly taken: readonly (Offer<T> | undefined)[]; readonly cost: number } {
  const now = unchanged(items);
  let cost = fixed + items.reduce((sum, { whole }) => sum + whole, 0);
  for (const { item, to } of movesOf(items)) {
    if (cost <= budget) break;
    const otherCosts = cost - (now[item]?.cost ?? 0);
    // The last move can stop at a more expensive offer within the budget.
    const enough = (items[item]?.offers ?? []).filter(({ cost }) => cost >= to.cost && otherCosts + cost <= budget);
    const next = enough.reduce(
      (best: Taken<T>, offer) => (offer.loss < best.loss ? { cost: offer.cost, loss: offer.loss, offer } : best),
      to,
    );
    now[item] = next;
    cost = otherCosts + next.cost;
  }
  return { taken: now.map(({ offer }) => offer), cost };
}

/** Returns all choices that `allocate` passes through, one move at a time, for costs that are not additive and must be measured. */
export function allocations<T>(items: readonly Item<T>[]): readonly (readonly (Offer<T> | undefined)[])[] {
  const now = unchanged(items);
  const offers = (): (Offer<T> | undefined)[] => now.map(({ offer }) => offer);
  return [
    offers(),
    ...movesOf(items).map(({ item, to }) => {
      now[item] = to;
      return offers();
    }),
  ];
}

interface Taken<T> {
  readonly cost: number;
  readonly loss: number;
  readonly offer: Offer<T> | undefined;
}

const unchanged = <T>(items: readonly Item<T>[]): Taken<T>[] =>
  items.map(({ whole }) => ({ cost: whole, loss: 0, offer: undefined }));

/** Returns all hull steps, the least Δ loss / Δ cost first. */
function movesOf<T>(items: readonly Item<T>[]): readonly { readonly item: number; readonly to: Taken<T> }[] {
  const moves = items.flatMap(({ whole, offers }, item) => {
    const falling = offers.toSorted((a, b) => b.cost - a.cost || b.loss - a.loss);
    const hull = lowerHull([
      { cost: whole, loss: 0, offer: undefined },
      ...falling.map((offer) => ({ cost: offer.cost, loss: offer.loss, offer })),
    ]);
    return hull.slice(1).map((to, index) => {
      const from = hull[index] ?? to;
      return { item, to, price: (to.loss - from.loss) / (from.cost - to.cost) };
    });
  });
  return moves.toSorted((a, b) => a.price - b.price);
}

/** Returns the lower convex hull of points sorted by falling cost. */
function lowerHull<T>(points: readonly Taken<T>[]): readonly Taken<T>[] {
  const hull: Taken<T>[] = [];
  for (const point of points) {
    for (;;) {
      const [a, b] = [hull.at(-2), hull.at(-1)];
      if (b === undefined) break;
      // Keeps the point with the smaller loss if costs are equal.
      const isDearer = b.cost === point.cost && b.loss >= point.loss && b.offer !== undefined;
      const isAbove =
        a !== undefined && (b.loss - a.loss) * (a.cost - point.cost) >= (point.loss - a.loss) * (a.cost - b.cost);
      if (!isDearer && !isAbove) break;
      hull.pop();
    }
    const last = hull.at(-1);
    if (last === undefined || point.cost < last.cost) hull.push(point);
  }
  return hull;
}
