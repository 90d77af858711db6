import { type Reconstruction, reconstruction } from "../../calibrate/reconstruction.ts";
import type { Solver } from "../../calibrate/solver.ts";
import { Miss } from "../../errors.ts";
import { cholesky, type Matrix, type Multiply, matrix, solveCholesky, transpose } from "../../math/index.ts";
import { damped } from "../../math/obs.ts";
import { gptq } from "./gptq.ts";
import { scalesByAnswers } from "./sequential-mse.ts";

/**
 * GPTQ towards the original outputs (Li et al. 2025, GPTAQ, arXiv 2504.02692): also compensates for the changed layer inputs. It
 * rounds
 *
 *     w* = w (Cᵀ + d I) (G + d I)⁻¹,     G = P̂ᵀP̂,  C = P̂ᵀP,  with the damping d of GPTQ
 *
 * whose outputs on the changed inputs P̂ are nearest to those of w on the original inputs P.
 */
export const gptaq = {
  id: "gptaq",
  summary: "GPTQ towards the original model's layer outputs (needs samples)",
  evidence: reconstruction,
  of: "both",
  blind: true,
  scales: scalesByAnswers,
  async codes(weight, grid, known) {
    if (known.evidence === undefined) return gptq.codes(weight, grid, known);
    const { groups, cross } = known.evidence;
    const matrices: Matrix[] = [];
    for (const [group, own] of weight.matrices.entries()) {
      const [gram, other] = [groups[group], cross?.[group]];
      matrices.push(gram === undefined || other === undefined ? own : await towards(own, gram, other, known.multiply));
    }
    return gptq.codes({ ...weight, matrices }, grid, known);
  },
} satisfies Solver<Reconstruction | undefined>;

/** Returns the weight itself if the system has no solution, and keeps zeros. */
async function towards(weight: Matrix, gram: Matrix, cross: Matrix, multiply: Multiply): Promise<Matrix> {
  const factor = await cholesky(damped(gram), multiply);
  if (factor instanceof Miss) return weight;
  const right = await multiply(damped(cross, gram), transpose(weight));
  const { rows, columns, data } = transpose(await solveCholesky(factor, right, multiply));
  return matrix(
    rows,
    columns,
    data.map((value, at) => (weight.data[at] === 0 ? 0 : value)),
  );
}
