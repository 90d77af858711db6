import type { Allocation } from "./allocation.ts";

/**
 * Isomorphic pruning (Fang et al. 2024): what goes through the same operators along the same axes, as the inner channels of all blocks of a network, has
 * comparable scores, where a head and a channel of a convolution have not.
 */
export const isomorphic = {
  id: "isomorphic",
  summary: "channels: the least of all groups that go through the same operators",
  over: "the layers of its structure",
  together: ({ slices }) =>
    slices
      .flatMap(({ value, axis }) => [
        ...Array.from(value.uses, ({ node, input }) => `${node.op} in${input} ${axis}`),
        ...(value.producer === undefined ? [] : [`${value.producer.op} out ${axis}`]),
      ])
      .sort()
      .join(", "),
} satisfies Allocation;
