import type { Importance } from "./criterion.ts";
import { meanSquare } from "./gradients.ts";

const growth = (values: ArrayLike<number>, squares: Float64Array): Float64Array =>
  squares.map((square, at) => 0.5 * (values[at] ?? 0) ** 2 * square);

/**
 * ½ w² · E[g²], the second-order change of the loss with a diagonal Hessian: optimal brain damage (LeCun, Denker and Solla 1990)
 * with the empirical Fisher information over single samples. A channel costs the sum over its weights.
 */
export const fisher = {
  id: "fisher",
  summary: "½ w² · E[g²], optimal brain damage: change of the loss to second order (needs labeled samples)",
  evidence: meanSquare,
  scores: ({ values, evidence }) => growth(values, evidence),
  units: ({ sum }) =>
    sum("layers", ({ values, evidence, rows }) =>
      rows(growth(values, evidence)).map((row) => row.reduce((total, own) => total + own, 0)),
    ),
} satisfies Importance<Float64Array>;
