import type { Allocation } from "./allocation.ts";

/**
 * Isomorphic pruning (Fang et al. 2024): channels that pass through the same operators along the same axes have comparable scores, as the inner channels of
 * all blocks of a network. A head and a channel of a convolution have not.
 */
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
