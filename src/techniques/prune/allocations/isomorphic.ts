import type { Allocation } from "./allocation.ts";

/** Isomorphic pruning (Fang et al. 2024): scores are comparable if channels pass through the same operators along the same axes. */
export const isomorphic = {
  id: "isomorphic",
  summary: "the lowest-scoring channels of all layers with the same operators around them",
  over: "its isomorphic group",
  together: ({ slices }) =>
    slices
      .flatMap(({ value, axis }) => [
        ...Array.from(value.uses, ({ node, input }) => `${node.op} in${input} ${axis}`),
        ...(value.producer === undefined ? [] : [`${value.producer.op} out ${axis}`]),
      ])
      .sort()
      .join(", "),
} satisfies Allocation;
