import type { Importance } from "./criterion.ts";
import { meanGradient } from "./gradients.ts";

/**
 * σ(−w · ḡ): weights that descent moves towards zero are pruned first (Sanh, Wolf and Rush 2020, "Movement Pruning"). The
 * logistic function makes the signed score a magnitude.
 *
 * The paper accumulates −w · g over a fine-tuning; this is one such step over all samples (`train` with `prune` accumulates,
 * `learn/train/gradual.ts`). "Hard" movement pruning is scope "uniform", "soft" is "global".
 */
export const movement = {
  id: "movement",
  summary: "−w · ḡ: weights that training moves towards zero are removed first (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, at) => 1 / (1 + Math.exp((values[at] ?? 0) * g))),
} satisfies Importance<Float64Array>;
