import type { Importance } from "./criterion.ts";
import { meanSquare } from "./gradients.ts";

/**
 * E[(∂loss/∂ξ)²] over single samples, where ξ = 1 multiplies the channel in every reader: the first-order change of the loss
 * (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"). Equals (Σ w · g)² over the reading weights.
 * Squared per sample, because the mean gradient of a trained network is about 0.
 */
export const taylor = {
  id: "taylor",
  summary: "E[(Σ w · g)²] over the weights that read a channel: change of the loss (needs labeled samples)",
  evidence: { ...meanSquare, of: "gates" },
  units: ({ evidence }) => evidence,
} satisfies Importance<Float64Array>;
