import { methodTable } from "../../../core/pass/method-table.ts";
import { type Allocation, leastOfAll, leastRelative } from "./allocation.ts";
import { erk } from "./erk.ts";
import { isomorphic } from "./isomorphic.ts";
import { lamp } from "./lamp.ts";
import { uniformPlus } from "./uniform-plus.ts";

export const uniform = {
  id: "uniform",
  summary: "the same share of every layer",
  shares: (layers, amount) => layers.map(() => amount),
  together: (group) => group,
} satisfies Allocation;

export const global = {
  id: "global",
  summary: "the lowest-scoring weights or channels of all layers",
  shares: leastOfAll,
  together: () => "all",
  over: "all layers",
} satisfies Allocation;

const globalNormalized = {
  id: "global-normalized",
  summary: "the same, with the scores of each layer divided by their norm",
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
  isomorphic,
};

export type AllocationName = keyof typeof table;

export const allocations = methodTable<Allocation, AllocationName>(table, {
  kind: "an allocation",
  does: ["shares", "together"],
  title: "Allocation (--scope)",
});
