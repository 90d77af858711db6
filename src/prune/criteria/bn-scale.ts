import type { Importance } from "./criterion.ts";

/**
 * |γ|, the scale of the normalization that a channel goes through (Liu et al. 2017, "Network Slimming"). It says most where training has pressed scales to
 * zero by an L1 penalty.
 */
export const bnScale = {
  id: "bn-scale",
  summary: "|γ| of the normalization behind a channel",
  units: ({ mean }) => mean("scales", ({ values }) => values.map(Math.abs)),
} satisfies Importance;
