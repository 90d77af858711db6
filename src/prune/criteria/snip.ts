import type { Importance } from "./criterion.ts";
import { meanGradient } from "./gradients.ts";

/**
 * |w · ḡ|: how much the loss changes, to first order, if a weight is scaled (Lee, Ajanthan and Torr 2019, "SNIP: Single-shot Network Pruning based on
 * Connection Sensitivity"). They take one batch and a network that is not trained yet, and cut the least of all layers together (scope "global").
 */
export const snip = {
  id: "snip",
  summary: "|w · ḡ|, gradient × weight: change of the loss to first order (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, at) => (values[at] ?? 0) * g),
} satisfies Importance<Float64Array>;
