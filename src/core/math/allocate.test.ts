import { describe, expect, test } from "vitest";
import { random } from "../tensor/random.ts";
import { allocate, allocateMeasured, type Item } from "./allocate.ts";

/** Returns the minimum loss of all choices within a budget, by brute force. */
function leastLoss(items: readonly Item<unknown>[], budget: number): number {
  const [first, ...rest] = items;
  if (first === undefined) return budget >= 0 ? 0 : Number.POSITIVE_INFINITY;
  const ways = [{ cost: first.unchangedCost, loss: 0 }, ...first.offers];
  return Math.min(...ways.map(({ cost, loss }) => loss + leastLoss(rest, budget - cost)));
}

const lossOf = (taken: readonly ({ readonly loss: number } | undefined)[]): number =>
  taken.reduce((sum, offer) => sum + (offer?.loss ?? 0), 0);

describe("allocate", () => {
  test("takes the offers with the lowest loss per saving", () => {
    const items = [
      { unchangedCost: 10, offers: [{ cost: 4, loss: 1, choice: "a" }] },
      { unchangedCost: 10, offers: [{ cost: 4, loss: 5, choice: "b" }] },
    ];
    expect(allocate(items, 20).taken).toEqual([undefined, undefined]);
    expect(allocate(items, 14)).toEqual({ taken: [items[0]?.offers[0], undefined], cost: 14 });
    expect(allocate(items, 14, 6).taken.map((offer) => offer?.choice)).toEqual(["a", "b"]);
  });

  test("skips offers that are worse than others", () => {
    const offers = [
      { cost: 8, loss: 4, choice: "dear" },
      { cost: 5, loss: 4, choice: "as good, for less" },
      { cost: 5, loss: 6, choice: "worse" },
      { cost: 2, loss: 8, choice: "least" },
    ];
    expect(allocate([{ unchangedCost: 10, offers }], 9).taken[0]?.choice).toBe("as good, for less");
    expect(allocate([{ unchangedCost: 10, offers }], 4).taken[0]?.choice).toBe("least");
  });

  test("takes the cheapest offers if none fits the budget", () => {
    const items = [{ unchangedCost: 10, offers: [{ cost: 4, loss: 1, choice: "a" }] }];
    expect(allocate(items, 1)).toEqual({ taken: [items[0]?.offers[0]], cost: 4 });
    expect(allocate([], 1, 3)).toEqual({ taken: [], cost: 3 });
  });

  test("loses at most as much as brute force with one step less budget", () => {
    const numbers = random(1, "allocate");
    for (let round = 0; round < 200; round++) {
      const items = Array.from({ length: 4 }, (): Item<number> => {
        let [cost, loss, price] = [20, 0, 0];
        const offers = Array.from({ length: 3 }, (_, choice) => {
          const step = 1 + numbers.integer(6);
          price += numbers.uniform();
          cost -= step;
          loss += step * price;
          return { cost, loss, choice };
        });
        return { unchangedCost: 20, offers };
      });
      const budget = 40 + numbers.integer(40);
      const { taken, cost } = allocate(items, budget);
      const feasible = leastLoss(items, budget);
      if (feasible === Number.POSITIVE_INFINITY) continue;
      expect(cost).toBeLessThanOrEqual(budget);
      expect(lossOf(taken)).toBeGreaterThanOrEqual(feasible - 1e-9);
      const less = leastLoss(items, budget - 6);
      if (less !== Number.POSITIVE_INFINITY) expect(lossOf(taken)).toBeLessThanOrEqual(less + 1e-9);
    }
  });
});

test("allocateMeasured meets a budget although costs do not add up", async () => {
  const items = Array.from({ length: 8 }, (_, at) => ({
    unchangedCost: 10,
    offers: [8, 6, 4, 2].map((cost) => ({ cost, loss: (10 - cost) * (at + 1), choice: cost })),
  }));
  // Each cost is shared with the next item.
  const costOf = (taken: readonly ({ readonly cost: number } | undefined)[]): number => {
    const costs = taken.map((offer) => offer?.cost ?? 10);
    return costs.reduce((sum, cost, at) => sum + Math.sqrt(cost * (costs[at + 1] ?? 10)), 0);
  };
  for (const budget of [70, 55, 40]) {
    const { cost } = await allocateMeasured(items, budget, { attempts: 8, slack: 1 }, async (taken) => ({
      cost: costOf(taken),
    }));
    expect(cost).toBeLessThanOrEqual(budget);
    expect(cost).toBeGreaterThan(budget - 3);
  }
  const cheapest = await allocateMeasured(items, 1, { attempts: 3 }, async (taken) => ({ cost: costOf(taken) }));
  expect(cheapest.cost).toBeLessThan(25);
});

test("allocateMeasured meets a budget that is slightly exceeded, although costs change in large steps", async () => {
  const items = Array.from({ length: 7 }, () => ({ unchangedCost: 10, offers: [{ cost: 0, loss: 1, choice: 0 }] }));
  const best = await allocateMeasured(items, 59.9, { attempts: 8 }, async (taken) => ({
    cost: 10 + taken.reduce((sum, offer) => sum + (offer?.cost ?? 10), 0),
  }));
  expect(best.cost).toBe(50);
});
