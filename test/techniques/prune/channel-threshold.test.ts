/** Tests the amount from which `prune` removes a channel, as `inspect` prints it. */
import { parseModel } from "pith/extend";
import { expect, test } from "vitest";
import { explainLayer } from "../../../src/search/sensitivity/explain-layer.ts";
import { amountThatCuts } from "../../../src/techniques/prune/cut-order.ts";
import { topology } from "../../zoo/topologies.ts";
import { checkThresholds, ordersOf, residual } from "./thresholds.ts";

/** A chain, parts of an axis, and a recurrent layer. */
const chosen = ["gemm-chain", "concat", "split", "recurrent"];
const networks: readonly (readonly [name: string, text: string])[] = [
  ["residual blocks", residual],
  ...chosen.map((name) => [name, topology(name).text] as const),
];
test.each(networks)("%s: a channel is removed at its threshold, and kept 0.1 % below it", async (_, text) => {
  const checked = await checkThresholds(text, [undefined]);
  if (text === residual) expect(checked).toBeGreaterThan(30);
});

test("explain prints the threshold for the default allocation and multiples", async () => {
  const model = parseModel(residual);
  const order = (await ordersOf(model, undefined, "isomorphic")).get("b1");
  const { channels } = await explainLayer(model, "b1", 3);
  expect(channels?.one).toEqual({ channel: 3, from: order && amountThatCuts(order, 3) });
});
