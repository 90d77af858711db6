/** Allocations by name. */
import { methodTable } from "../../passes/method-table.ts";
import { type Allocation, leastOfAll, leastRelative } from "./allocation.ts";
import { erk } from "./erk.ts";
import { lamp } from "./lamp.ts";
import { uniformPlus } from "./uniform-plus.ts";

export const uniform = {
  id: "uniform",
  summary: "the same share of every layer",
  shares: (layers, amount) => layers.map(() => amount),
} satisfies Allocation;

export const global = {
  id: "global",
  summary: "the least of all layers together",
  shares: leastOfAll,
} satisfies Allocation;

const globalNormalized = {
  id: "global-normalized",
  summary: "the same, scores divided by their norm over the layer",
  shares: (layers, amount) =>
    leastRelative(layers, amount, (scores) => {
      let squares = 0;
      for (const score of scores) squares += score * score;
      return Float32Array.from(scores, (score) => score / (Math.sqrt(squares) || 1));
    }),
} satisfies Allocation;

const table = {
  uniform,
  "uniform+": uniformPlus,
  global,
  "global-normalized": globalNormalized,
  erk,
  lamp,
};

export type AllocationName = keyof typeof table;

/** Those of channels (`choose-units.ts`). */
const ofChannels = ["uniform", "global", "isomorphic"] as const;

export type ChannelScope = (typeof ofChannels)[number];

export const isChannelScope = (scope: string | Allocation): scope is ChannelScope =>
  ofChannels.some((name) => name === scope);

export const allocations = methodTable<Allocation, AllocationName, "isomorphic">(table, {
  kind: "an allocation",
  does: "shares",
  title: "Allocation (--scope)",
  extra: [["isomorphic", "channels: the least of all groups that go through the same operators"]],
});
