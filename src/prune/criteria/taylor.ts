import type { Importance } from "./criterion.ts";
import { meanSquare } from "./gradients.ts";

/**
 * E[(∂loss/∂ξ)²] over individual samples, where ξ = 1 multiplies the channel in every layer that reads it: the change of the loss without the channel, to first
 * order (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"). It equals (Σ w · g)² over the weights that read the channel. It is squared
 * for each sample, because the mean gradient of a trained network is about 0.
 */
export const taylor = {
  id: "taylor",
  summary: "E[(Σ w · g)²] over the weights that read a channel: change of the loss (needs labeled samples)",
  evidence: { ...meanSquare, of: "gates" },
  units: ({ evidence }) => evidence,
} satisfies Importance<Float64Array>;
