/**
 * Distributes one budget (bytes, MACs) over several items (layers) with the lowest total loss. Each item is left unchanged or gets one of its offers
 * (cost, loss). Moves to cheaper offers are made in ascending order of Δ loss / Δ cost, along the lower convex hull of each item's offers. The result
 * is optimal except for the last move (generalized Lagrange multipliers, Everett 1963).
 */

export interface Offer<T> {
  readonly cost: number;
  readonly loss: number;
  readonly choice: T;
}

export interface Item<T> {
  readonly unchangedCost: number;
  readonly offers: readonly Offer<T>[];
}

/**
 * Selects one offer per item so that the total cost is within the budget and the total loss is low.
 * @returns `taken`: the selected offer of each item, undefined if the item is unchanged. `cost`: the total cost, which exceeds the budget only if no
 * selection is within the budget.
 * @example
 * const item = (loss: number) => ({ unchangedCost: 10, offers: [{ cost: 4, loss, choice: "4 bits" }] });
 * allocate([item(1), item(5)], 14); // { taken: [the first offer, undefined], cost: 14 }
 */
export function allocate<T>(
  items: readonly Item<T>[],
  budget: number,
  fixed = 0,
): { readonly taken: readonly (Offer<T> | undefined)[]; readonly cost: number } {
  const selection = selectUnchanged(items);
  let cost = fixed + items.reduce((sum, { unchangedCost }) => sum + unchangedCost, 0);
  for (const { item, to } of movesOf(items)) {
    if (cost <= budget) break;
    const otherCosts = cost - (selection[item]?.cost ?? 0);
    // The last move selects the offer with the lowest loss that is within the budget, instead of the cheapest offer.
    const affordable = (items[item]?.offers ?? []).filter(({ cost }) => cost >= to.cost && otherCosts + cost <= budget);
    const next = affordable.reduce(
      (best: Selected<T>, offer) => (offer.loss < best.loss ? { cost: offer.cost, loss: offer.loss, offer } : best),
      to,
    );
    selection[item] = next;
    cost = otherCosts + next.cost;
  }
  return { taken: selection.map(({ offer }) => offer), cost };
}

/**
 * Returns the sequence of selections that `allocate` goes through, one move at a time. Callers use it if costs do not add up, to measure each
 * selection.
 */
export function allocations<T>(items: readonly Item<T>[]): readonly (readonly (Offer<T> | undefined)[])[] {
  const selection = selectUnchanged(items);
  const offers = (): (Offer<T> | undefined)[] => selection.map(({ offer }) => offer);
  return [
    offers(),
    ...movesOf(items).map(({ item, to }) => {
      selection[item] = to;
      return offers();
    }),
  ];
}

interface Selected<T> {
  readonly cost: number;
  readonly loss: number;
  readonly offer: Offer<T> | undefined;
}

const selectUnchanged = <T>(items: readonly Item<T>[]): Selected<T>[] =>
  items.map(({ unchangedCost }) => ({ cost: unchangedCost, loss: 0, offer: undefined }));

/** Returns all steps along the lower convex hulls, in ascending order of Δ loss / Δ cost. */
function movesOf<T>(items: readonly Item<T>[]): readonly { readonly item: number; readonly to: Selected<T> }[] {
  const moves = items.flatMap(({ unchangedCost, offers }, item) => {
    const byFallingCost = offers.toSorted((a, b) => b.cost - a.cost || b.loss - a.loss);
    const hull = lowerHull([
      { cost: unchangedCost, loss: 0, offer: undefined },
      ...byFallingCost.map((offer) => ({ cost: offer.cost, loss: offer.loss, offer })),
    ]);
    return hull.slice(1).map((to, index) => {
      const from = hull[index] ?? to;
      return { item, to, price: (to.loss - from.loss) / (from.cost - to.cost) };
    });
  });
  return moves.toSorted((a, b) => a.price - b.price);
}

/** Returns the lower convex hull of points in descending order of cost. */
function lowerHull<T>(points: readonly Selected<T>[]): readonly Selected<T>[] {
  const hull: Selected<T>[] = [];
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
