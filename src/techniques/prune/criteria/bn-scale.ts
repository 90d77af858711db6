import type { Importance } from "./criterion.ts";

/** |γ|, the scale of the normalization after a channel (Liu et al. 2017, "Network Slimming"); best after training with an L1 penalty. */
export const bnScale = {
  id: "bn-scale",
  summary: "|γ|, the scale of the batch normalization after a channel",
  units: ({ mean }) => mean("scales", ({ values }) => values.map(Math.abs)),
} satisfies Importance;
