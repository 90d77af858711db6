/** The table of allocations. Its keys are the values of the option `scope` in flags, help and recipes. */
import { roundHalfEven } from "#ir";
import { methodTable } from "../shared/methods.ts";
import type { Allocation } from "./allocation.ts";
import { findThresholds } from "./smallest-entries.ts";

export const uniform = {
  id: "uniform",
  summary: "the same share of every layer",
  shares: (layers, amount) => layers.map(() => amount),
  together: (group) => group,
} satisfies Allocation;

export const global = {
  id: "global",
  summary: "the lowest-scoring weights or channels of all layers",
  shares(layers, amount) {
    const entries = layers.map(({ left, scores, sample }) => {
      return { size: left, mask: async () => undefined, scores, ...(sample && { sample }) };
    });
    return findThresholds(entries, roundHalfEven(amount * layers.reduce((sum, { left }) => sum + left, 0)));
  },
  together: () => "all",
  over: "all layers",
} satisfies Allocation;

/** Fang et al. 2024, "Isomorphic Pruning": scores are comparable if channels pass through the same operators along the same axes. */
export const isomorphic = {
  id: "isomorphic",
  summary: "the lowest-scoring channels of all layers with the same operators around them",
  over: "similar layers (the same operators before and after)",
  together: ({ slices }) =>
    slices
      .flatMap(({ value, axis }) => [
        ...Array.from(value.uses, ({ node, input }) => `${node.op} in${input} ${axis}`),
        ...(value.producer === undefined ? [] : [`${value.producer.op} out ${axis}`]),
      ])
      .sort()
      .join(", "),
} satisfies Allocation;

const table = { uniform, global, isomorphic };

export const allocations = methodTable<Allocation, keyof typeof table>(table, {
  kind: "an allocation",
  does: ["shares", "together"],
  title: "Allocation (--scope)",
});
