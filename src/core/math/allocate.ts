/**
 * Distributes one budget over several items with the lowest total loss. Each item is unchanged or gets one of its offers (cost, loss). Items move to
 * cheaper offers in ascending order of Δ loss / Δ cost along their lower convex hulls. This is optimal up to the last move (generalized Lagrange
 * multipliers, Everett 1963).
 */

export interface Offer<T> {
  readonly cost: number;
  readonly loss: number;
  readonly choice: T;
}

export interface Item<T> {
  /** The cost of the unchanged item. */
  readonly whole: number;
  readonly offers: readonly Offer<T>[];
}

/**
 * Selects one offer per item so that the total cost is within the budget and the total loss is low.
 * @param fixed The cost of everything except the items.
 * @returns `taken`, the selected offer of each item (undefined if unchanged), and the total cost. It exceeds
 * the budget only if no selection is within it.
 * @example
 * const item = (loss: number) => ({ whole: 10, offers: [{ cost: 4, loss, choice: "4 bits" }] });
 * allocate([item(1), item(5)], 14); // { taken: [the first offer, undefined], cost: 14 }
 */
export function allocate<T>(
  items: readonly Item<T>[],
  budget: number,
  fixed = 0,
): { readonly taken: readonly (Offer<T> | undefined)[]; readonly cost: number } {
  const selection = unchanged(items);
  let cost = fixed + items.reduce((sum, { whole }) => sum + whole, 0);
  for (const { item, to } of movesOf(items)) {
    if (cost <= budget) break;
    const otherCosts = cost - (selection[item]?.cost ?? 0);
    // The last move can instead select a more expensive offer with a lower loss, if it is within the budget.
    const affordable = (items[item]?.offers ?? []).filter(({ cost }) => cost >= to.cost && otherCosts + cost <= budget);
    const next = affordable.reduce(
      (best: Taken<T>, offer) => (offer.loss < best.loss ? { cost: offer.cost, loss: offer.loss, offer } : best),
      to,
    );
    selection[item] = next;
    cost = otherCosts + next.cost;
  }
  return { taken: selection.map(({ offer }) => offer), cost };
}

/**
 * Returns all selections that `allocate` passes through, one move apart. Use it if costs are not additive, so that each selection must be measured.
 */
export function allocations<T>(items: readonly Item<T>[]): readonly (readonly (Offer<T> | undefined)[])[] {
  const selection = unchanged(items);
  const offers = (): (Offer<T> | undefined)[] => selection.map(({ offer }) => offer);
  return [
    offers(),
    ...movesOf(items).map(({ item, to }) => {
      selection[item] = to;
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

/** Returns all steps along the lower convex hulls, in ascending order of Δ loss / Δ cost. */
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

/** Returns the lower convex hull of points in descending order of cost. */
function lowerHull<T>(points: readonly Taken<T>[]): readonly Taken<T>[] {
  const hull: Taken<T>[] = [];
  for (const point of points) {
    for (;;) {
      const [a, b] = [hull.at(-2), hull.at(-1)];
      if (b === undefined) break;
      // Keeps the point with the lower loss if costs are equal.
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
