/** Which channels go where what goes as one has more channels of a layer in one place than in another, as behind a channel shuffle. */
import { describe, expect, test } from "vitest";
import { channelGroups } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import { uniform } from "./allocations.ts";
import { cutOrders } from "./cut-order.ts";
import { prune } from "./prune.ts";

/** The first two channels of `a` are read seven times by `wide`, the others once: units of 4 channels and of 1, on average over both layers. */
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

/** The wide units go last, or one of them first: something of `p` stays. */
const [last, first] = ["90, 80, 1, 2, 3, 4, 5, 6", "1, 90, 40, 50, 60, 70, 80, 90"];

async function prunedLayers(model: Model, amount: number, roundTo = 1): Promise<readonly string[]> {
  const { changes } = await prune(model, { structured: amount, roundTo, scope: "uniform" });
  return changes.map(({ at, what }) => `${at}: ${what}`);
}

test("an amount is a share of the channels that can go, if others of their group cannot", async () => {
  // The numbers of `filler` lie beside four of the twelve channels, and go out of the model.
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

describe("an amount of units of several sizes", () => {
  test("is a share of channels: of 8 units with 14 channels on average over the layers half are 7", async () => {
    expect(await prunedLayers(uneven(first), 0.5)).toEqual([
      "a: 4 of 8 channels cut",
      "wide: 10 of 20 channels cut (4 of 8 units of several channels)",
    ]);
    expect(await prunedLayers(uneven(last), 0.4)).toEqual([
      "a: 5 of 8 channels cut",
      "wide: 5 of 20 channels cut (5 of 8 units of several channels)",
    ]);
  });

  test("takes a unit once the middle of its channels lies within, and says where none does", async () => {
    expect(await prunedLayers(uneven(first), 0.25)).toEqual([
      "a: 1 of 8 channels cut",
      "wide: 7 of 20 channels cut (1 of 8 units of several channels)",
    ]);
    const { changes, misses } = await prune(uneven(first), { structured: 0.13, layers: "a" });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => [at, reason])).toContainEqual([
      "a",
      "13 % of its 8 units of several channels is less than half of the first one",
    ]);
  });

  test("cuts what plot and explain say, and what goes stays gone at every larger amount", async () => {
    for (const sizes of [first, last]) {
      const model = uneven(sizes);
      const order = (await cutOrders(model, channelGroups(model, infer(model)), { scope: uniform, roundTo: 1 })).get(
        "wide",
      );
      let before = 0;
      for (const sixteenths of [1, 3, 5, 7, 9, 11, 13, 15, 16]) {
        const amount = sixteenths / 16;
        const least = roundHalfEven(amount * (order?.units ?? 0));
        const planned = order?.places.filter((place) => place !== undefined && place < least).length;
        const wide = (await prunedLayers(uneven(sizes), amount)).find((text) => text.startsWith("wide"));
        const removed = Number(/\d+/.exec(wide ?? "0")?.[0]);
        expect([amount, removed]).toEqual([amount, planned]);
        expect(removed).toBeGreaterThanOrEqual(before);
        before = removed;
      }
    }
  });

  test("leaves multiples in the widest layer", async () => {
    expect(await prunedLayers(uneven(first), 0.5, 4)).toEqual([
      "a: 2 of 8 channels cut",
      "wide: 8 of 20 channels cut (2 of 8 units of several channels)",
    ]);
  });
});
