/** Allocations by name. */
import * as v from "valibot";
import { methodSchema } from "../../passes/modules.ts";
import { described } from "../../passes/options.ts";
import { methodOf } from "../../passes/own-methods.ts";
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

const allocations = {
  uniform,
  "uniform+": uniformPlus,
  global,
  "global-normalized": globalNormalized,
  erk,
  lamp,
} as const satisfies Readonly<Record<string, Allocation>>;

export type AllocationName = keyof typeof allocations;

const names = Object.keys(allocations) as AllocationName[];

/** Those of channels (`choose-units.ts`). */
const ofChannels = ["uniform", "global", "isomorphic"] as const;

export type ChannelScope = (typeof ofChannels)[number];

export const isOfChannels = (scope: string | Allocation): scope is ChannelScope =>
  ofChannels.some((name) => name === scope);

export const scopeOption = described(
  v.optional(
    methodSchema<Allocation, AllocationName | ChannelScope>("an allocation", "shares", [...names, "isomorphic"]),
    "uniform",
  ),
  "how the amount is spread over the layers, or a module",
  {
    value: "scope",
    meanings: {
      title: "Allocation (--scope)",
      rows: [
        ...names.map((name) => [name, allocations[name].summary] as const),
        ["isomorphic", "channels: the least of all groups that go through the same operators"],
      ],
    },
  },
);

/** @param given as `scopeOption` takes it, opened. */
export const allocationOf = (given: string | Allocation): Allocation => methodOf<Allocation>(allocations, given);
