import type { Importance } from "./criterion.ts";
import { meanGradient } from "./gradients.ts";

/**
 * σ(−w · ḡ): what descent would move towards zero goes first, whatever its size, and what moves away from it stays (Sanh, Wolf and Rush 2020, "Movement
 * Pruning"). The sign counts, and the least |score| goes: so it is the logistic function of −w · ḡ, which is as steep for all layers.
 *
 * In the paper scores add up −w · g over the steps of a fine-tuning in which the weights change; this is one such step, over all samples, at the weights as
 * they are: `train` with `prune` adds them up (`train/gradual.ts`). "Hard" movement pruning cuts the same share of each layer (scope "uniform"), "soft" cuts
 * all scores at one threshold ("global").
 */
export const movement = {
  id: "movement",
  summary: "−w · ḡ: weights that training moves towards zero are removed first (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, at) => 1 / (1 + Math.exp((values[at] ?? 0) * g))),
} satisfies Importance<Float64Array>;
