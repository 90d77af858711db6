import type { Importance } from "./criterion.ts";
import { meanGradient } from "./gradients.ts";

/**
 * |w · ḡ|: first-order change of the loss if a weight is scaled (Lee, Ajanthan and Torr 2019, "SNIP: Single-shot Network Pruning
 * based on Connection Sensitivity"). The paper uses one batch, an untrained network and scope "global".
 */
export const snip = {
  id: "snip",
  summary: "|w · ḡ|, gradient × weight: change of the loss to first order (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, at) => (values[at] ?? 0) * g),
} satisfies Importance<Float64Array>;
