import type { Importance } from "./criterion.ts";
import { meanSquare } from "./gradients.ts";

/**
 * E[(∂loss/∂ξ)²] over single samples, ξ = 1 a factor of the channel wherever layers sum over it: how much the loss changes without it, to first order
 * (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"). It is (Σ w · g)² over the weights that read the channel; squared for each
 * sample, because over all of them the gradient of a trained network is about 0.
 */
export const taylor = {
  id: "taylor",
  summary: "E[(Σ w · g)²] of all that reads a channel: change of the loss to first order (needs labelled samples)",
  evidence: { ...meanSquare, of: "gates" },
  units: ({ evidence }) => evidence,
} satisfies Importance<Float64Array>;
