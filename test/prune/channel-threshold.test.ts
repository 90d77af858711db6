/** Tests the amount from which `prune` removes a channel, as `explain` prints it. */
import type { Model } from "pith";
import { parseModel } from "pith/extend";
import { prune } from "pith/prune";
import { expect, test } from "vitest";
import { channelGroups } from "../../src/core/analysis/channels.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { recordedChannels } from "../../src/core/analysis/provenance.ts";
import { withFreeChannels } from "../../src/rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../src/rewrite/clean-up/store-constants.ts";
import { explain } from "../../src/search/sensitivity/explain.ts";
import { global, isomorphic, uniform } from "../../src/techniques/prune/allocations.ts";
import { amountThatCuts, type CutOrder, cutOrders } from "../../src/techniques/prune/cut-order.ts";
import { topology } from "../zoo/topologies.ts";

/** Two residual blocks on 48 channels, with 32 and 72 channels inside, so that the multiples are 8 and 16. */
const residual = `opset 17
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 5, 8, 8]) {
  stem.weight: float32[48, 3, 1, 1] = random(seed 1)
  a1.weight: float32[32, 48, 1, 1] = random(seed 2)
  a2.weight: float32[48, 32, 1, 1] = random(seed 3)
  b1.weight: float32[72, 48, 1, 1] = random(seed 4)
  b2.weight: float32[48, 72, 1, 1] = random(seed 5)
  head.weight: float32[5, 48, 1, 1] = random(seed 6)
  s = Conv "stem" (x, stem.weight)
  h = Conv "a1" (s, a1.weight)
  i = Relu (h)
  j = Conv "a2" (i, a2.weight)
  k = Add (s, j)
  l = Conv "b1" (k, b1.weight)
  m = Relu (l)
  n = Conv "b2" (m, b2.weight)
  o = Add (k, n)
  y = Conv "head" (o, head.weight)
}`;

/** Chains, sums, parts of an axis, heads, gates, shuffles, and a recurrent layer. */
const chosen = [
  "gemm-chain",
  "residual-projection",
  "concat",
  "split",
  "attention",
  "squeeze-excite",
  "channel-shuffle",
  "recurrent",
];
const networks: readonly (readonly [name: string, text: string])[] = [
  ["residual blocks", residual],
  ...chosen.map((name) => [name, topology(name).text] as const),
];
const scopes = { uniform, isomorphic, global };

async function ordersOf(original: Model, roundTo: number | undefined, scope: keyof typeof scopes) {
  const copy = original.clone();
  storeWeights(copy);
  const free = await withFreeChannels(copy);
  return cutOrders(free, channelGroups(free, infer(free)), { scope: scopes[scope], roundTo });
}

/** Returns the channels to check: the first to be removed, one in the middle, and the last. */
function checkedChannels({ places }: CutOrder): readonly number[] {
  const order = places.flatMap((place, channel) => (place === undefined ? [] : [{ place, channel }]));
  order.sort((a, b) => a.place - b.place);
  return [...new Set([0, Math.floor(order.length / 2), order.length - 1])].flatMap((at) => order[at]?.channel ?? []);
}

test.each(networks)("%s: a channel is removed at its threshold, and kept 0.1 % below it", async (_, text) => {
  const original = parseModel(text);
  let checked = 0;
  for (const scope of ["uniform", "isomorphic", "global"] as const)
    for (const roundTo of text === residual ? [undefined, 1, 4] : [undefined]) {
      const orders = await ordersOf(original, roundTo, scope);
      for (const [layer, order] of orders)
        for (const channel of checkedChannels(order)) {
          const threshold = amountThatCuts(order, channel) ?? Number.NaN;
          const isCut = async (amount: number): Promise<boolean> => {
            const model = original.clone();
            await prune(model, { structured: amount, scope, importance: "magnitude", roundTo });
            return recordedChannels(model, layer)?.includes(channel) === false;
          };
          const place = { scope, roundTo, layer, channel, threshold };
          expect({ ...place, at: await isCut(threshold), below: await isCut((1000 * threshold - 1) / 1000) }).toEqual({
            ...place,
            at: true,
            below: false,
          });
          checked++;
        }
    }
  if (text === residual) expect(checked).toBeGreaterThan(30);
});

test("explain prints the threshold for the default allocation and multiples", async () => {
  const model = parseModel(residual);
  const order = (await ordersOf(model, undefined, "isomorphic")).get("b1");
  const { channels } = await explain(model, "b1", 3);
  expect(channels?.one).toEqual({ channel: 3, from: order && amountThatCuts(order, 3) });
});
