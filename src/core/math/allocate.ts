/**
 * Distributes one budget (bytes, MACs) over several items (layers) with a low total loss. Moves to cheaper offers are made in ascending order of
 * Δ loss / Δ cost, along the lower convex hull of each item's offers (generalized Lagrange multipliers, Everett 1963).
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
 * @returns `taken`: the selected offers, undefined for unchanged items. `cost`: exceeds the budget if no selection is within it.
 * @example
 * const item = (loss: number) => ({ unchangedCost: 10, offers: [{ cost: 4, loss, choice: "4 bits" }] });
 * allocate([item(1), item(5)], 14); // { taken: [the first offer, undefined], cost: 14 }
 */
export function allocate<T>(
  items: readonly Item<T>[],
  budget: number,
  fixedCost = 0,
): { readonly taken: readonly (Offer<T> | undefined)[]; readonly cost: number } {
  const selection = items.map(({ unchangedCost }): HullItem<T> => ({ cost: unchangedCost, loss: 0, offer: undefined }));
  let cost = fixedCost + items.reduce((sum, { unchangedCost }) => sum + unchangedCost, 0);
  for (const { item, to } of hullSteps(items)) {
    if (cost <= budget) break;
    const otherCosts = cost - (selection[item]?.cost ?? 0);
    // The last move selects the affordable offer with the lowest loss.
    const affordable = (items[item]?.offers ?? []).filter(({ cost }) => cost >= to.cost && otherCosts + cost <= budget);
    const next = affordable.reduce(
      (best: HullItem<T>, offer) => (offer.loss < best.loss ? { cost: offer.cost, loss: offer.loss, offer } : best),
      to,
    );
    selection[item] = next;
    cost = otherCosts + next.cost;
  }
  return { taken: selection.map(({ offer }) => offer), cost };
}

/**
 * Allocates with costs that do not add up: measures each selection, and corrects the budget of the next one by the difference.
 * @param options `attempts`: maximum number of selections. `slack`: unused budget at which a selection is accepted.
 * @returns The measured selection that uses most of the budget; if none is within the budget, the cheapest.
 */
export async function allocateMeasured<T, M extends { readonly cost: number }>(
  items: readonly Item<T>[],
  budget: number,
  options: { readonly fixed?: number; readonly attempts: number; readonly slack?: number },
  measure: (offers: readonly (Offer<T> | undefined)[]) => Promise<M>,
): Promise<M> {
  const { fixed, attempts, slack = Number.POSITIVE_INFINITY } = options;
  let target = budget;
  let [fitting, exceeding] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  let best: M | undefined;
  let [step, lastCost] = [1, Number.NaN];
  for (let attempt = 1; ; attempt++) {
    const measurement = await measure(allocate(items, target, fixed).taken);
    const isWithin = measurement.cost <= budget;
    const isBest = isWithin
      ? !(best && best.cost <= budget && best.cost >= measurement.cost)
      : !(best && best.cost <= measurement.cost);
    if (best === undefined || isBest) best = measurement;
    if (attempt >= attempts || (isWithin && budget - measurement.cost <= slack)) return best;
    if (isWithin) fitting = target;
    else exceeding = target;
    step = measurement.cost === lastCost ? 2 * step : 1;
    lastCost = measurement.cost;
    target += step * (budget - measurement.cost);
    // Costs in steps would repeat the same selections.
    if (!(target > fitting && target < exceeding)) target = (fitting + exceeding) / 2;
  }
}

interface HullItem<T> {
  readonly cost: number;
  readonly loss: number;
  readonly offer: Offer<T> | undefined;
}

/** Returns the steps along the lower convex hulls, in ascending order of Δ loss / Δ cost. */
function hullSteps<T>(items: readonly Item<T>[]): readonly { readonly item: number; readonly to: HullItem<T> }[] {
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
function lowerHull<T>(points: readonly HullItem<T>[]): readonly HullItem<T>[] {
  const hull: HullItem<T>[] = [];
  for (const point of points) {
    for (;;) {
      const [a, b] = [hull.at(-2), hull.at(-1)];
      if (b === undefined) break;
      // For equal costs, keeps the lower loss.
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
