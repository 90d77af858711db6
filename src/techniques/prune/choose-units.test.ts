/** Tests the choice of units with several channels, where units differ in size, as after a channel shuffle. */
import { describe, expect, test } from "vitest";
import { channelGroups } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import { uniform } from "./allocations.ts";
import { cutOrders } from "./cut-order.ts";
import { prune } from "./prune.ts";

/** `wide` reads the first two channels of `a` seven times and the others once: averaged over both layers, units have 4 channels or 1. */
const uneven = (sizes: string): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 1, 4, 4]) -> (y: float32[batch, 2, 4, 4]) {
  a.weight: float32[8, 1, 1, 1] = [${sizes}]
  wide.weight: float32[20, 1, 1, 1] = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1, 1, 1, 1, 1, 1]
  out.weight: float32[2, 20, 1, 1] = random(seed 3)
  parts: int64[2] = [2, 6]
  h = Conv "a" (x, a.weight)
  p, q = Split (h, parts) {axis=1}
  c = Concat (p, p, p, p, p, p, p, q) {axis=1}
  w = Conv "wide" (c, wide.weight) {group=20}
  y = Conv "out" (w, out.weight)
}`);

/** Weights of `a` for which the wide units are pruned last, or one of them first. The other is the last, so `p` keeps a channel. */
const [last, first] = ["90, 80, 1, 2, 3, 4, 5, 6", "1, 90, 40, 50, 60, 70, 80, 90"];

async function prunedLayers(model: Model, amount: number, roundTo = 1): Promise<readonly string[]> {
  const { changes } = await prune(model, { structured: amount, roundTo, scope: "uniform" });
  return changes.map(({ at, what }) => `${at}: ${what}`);
}

test("applies an amount to the removable channels of a group", async () => {
  // `filler` is concatenated with the four channels of "a", so eight of the twelve channels of "b" are coupled with an input.
  const model = parseModel(`opset 17
graph (x: float32[1, 3, 4, 4], filler: float32[1, 8, 4, 4]) -> (y: float32[...]) {
  a.weight: float32[4, 3, 1, 1] = random(seed 1)
  b.weight: float32[12, 4, 1, 1] = random(seed 2)
  c.weight: float32[2, 12, 1, 1] = random(seed 3)
  h = Conv "a" (x, a.weight)
  g = Conv "b" (h, b.weight)
  p = Concat (h, filler) {axis=1}
  s = Add (g, p)
  y = Conv "c" (s, c.weight)
}`);
  expect(await prunedLayers(model, 0.5)).toEqual([
    "a: 2 of 4 channels cut (2 of 12 in its group of coupled layers)",
    "b: 2 of 12 channels cut",
  ]);
});

describe("an amount for units of several sizes", () => {
  test("is a share of the channels, averaged over the layers, not of the units", async () => {
    expect(await prunedLayers(uneven(first), 0.5)).toEqual([
      "a: 4 of 8 channels cut",
      "wide: 10 of 20 channels cut (4 of 8 units of several channels)",
    ]);
    expect(await prunedLayers(uneven(last), 0.4)).toEqual([
      "a: 5 of 8 channels cut",
      "wide: 5 of 20 channels cut (5 of 8 units of several channels)",
    ]);
  });

  test("includes a unit if it covers at least half, and reports if it covers none", async () => {
    expect(await prunedLayers(uneven(first), 0.25)).toEqual([
      "a: 1 of 8 channels cut",
      "wide: 7 of 20 channels cut (1 of 8 units of several channels)",
    ]);
    const { changes, misses } = await prune(uneven(first), { structured: 0.13, layers: "a" });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => [at, reason])).toContainEqual([
      "a",
      "13 % of the group's 8 units of several channels is less than half of the first one",
    ]);
  });

  test("removes the channels that `inspect` announces, and more with each larger amount", async () => {
    for (const sizes of [first, last]) {
      const model = uneven(sizes);
      const order = (await cutOrders(model, channelGroups(model, infer(model)), { scope: uniform, roundTo: 1 })).get(
        "wide",
      );
      let before = 0;
      for (const sixteenths of [1, 3, 5, 7, 9, 11, 13, 15, 16]) {
        const amount = sixteenths / 16;
        const limit = roundHalfEven(amount * (order?.units ?? 0));
        const planned = order?.positions.filter((place) => place !== undefined && place < limit).length;
        const wide = (await prunedLayers(uneven(sizes), amount)).find((text) => text.startsWith("wide"));
        const removed = Number(/\d+/.exec(wide ?? "0")?.[0]);
        expect([amount, removed]).toEqual([amount, planned]);
        expect(removed).toBeGreaterThanOrEqual(before);
        before = removed;
      }
    }
  });

  test("keeps multiples of `roundTo` in the widest layer", async () => {
    expect(await prunedLayers(uneven(first), 0.5, 4)).toEqual([
      "a: 2 of 8 channels cut",
      "wide: 8 of 20 channels cut (2 of 8 units of several channels)",
    ]);
  });
});
