/** The amounts from which `prune` removes the channels of a network, checked by pruning at them and just below. */
import type { Model } from "pith";
import { parseModel } from "pith/extend";
import { prune } from "pith/prune";
import { expect } from "vitest";
import { channelGroups } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { originalChannelsOf } from "../../../src/core/analysis/provenance.ts";
import { withFreeChannels } from "../../../src/rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { global, isomorphic, uniform } from "../../../src/techniques/prune/allocations.ts";
import { amountThatCuts, type CutOrder, cutOrders } from "../../../src/techniques/prune/cut-order.ts";

/** Two residual blocks on 48 channels, with 32 and 72 channels inside, so that the multiples are 8 and 16. */
export const residual = `opset 17
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

const scopes = { uniform, isomorphic, global };

export async function ordersOf(original: Model, roundTo: number | undefined, scope: keyof typeof scopes) {
  const copy = original.clone();
  storeWeights(copy);
  const free = await withFreeChannels(copy);
  return cutOrders(free, channelGroups(free, infer(free)), { scope: scopes[scope], roundTo });
}

/** Returns the channels to check: the first to be removed, one in the middle, and the last. */
function checkedChannels({ positions }: CutOrder): readonly number[] {
  const order = positions.flatMap((place, channel) => (place === undefined ? [] : [{ place, channel }]));
  order.sort((a, b) => a.place - b.place);
  return [...new Set([0, Math.floor(order.length / 2), order.length - 1])].flatMap((at) => order[at]?.channel ?? []);
}

/**
 * Prunes at the threshold of a channel and 0.1 % below it, in each scope and for each multiple to which counts are rounded.
 * @returns how many channels were checked.
 */
export async function checkThresholds(text: string, multiples: readonly (number | undefined)[]): Promise<number> {
  const original = parseModel(text);
  let checked = 0;
  for (const scope of ["uniform", "isomorphic", "global"] as const)
    for (const roundTo of multiples) {
      const orders = await ordersOf(original, roundTo, scope);
      for (const [layer, order] of orders)
        for (const channel of checkedChannels(order)) {
          const threshold = amountThatCuts(order, channel) ?? Number.NaN;
          const isCut = async (amount: number): Promise<boolean> => {
            const model = original.clone();
            await prune(model, { structured: amount, scope, importance: "magnitude", roundTo });
            return originalChannelsOf(model, layer)?.includes(channel) === false;
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
  return checked;
}
