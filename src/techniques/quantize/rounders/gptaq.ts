/** GPTAQ: rounding that also compensates for changed layer inputs. */
import { Miss } from "#ir";
import { cholesky, solveCholesky } from "../../../core/math/cholesky.ts";
import { type Matrix, type Multiply, matrix, transpose } from "../../../core/math/matrix.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { LayerContext, ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import { dampDiagonal } from "../../shared/optimal-brain-surgeon.ts";
import { gptq } from "./gptq.ts";
import { scalesByOutputError } from "./scales-by-output-error.ts";

type Codes<E> = (weight: SlicedWeight, grid: ScaledGrid, context: LayerContext<E>) => Promise<readonly Matrix[]>;

/**
 * Extends a rounding method: it also compensates for the changed layer inputs (Li et al. 2025, GPTAQ, arXiv 2504.02692). It rounds
 *
 *     w* = w (Cᵀ + d I) (G + d I)⁻¹,     G = P̂ᵀP̂,  C = P̂ᵀP,  with the damping d of GPTQ
 *
 * whose outputs on the changed inputs P̂ are nearest to those of w on the original inputs P.
 */
export function matchOriginalOutputs<E = undefined>(solver: {
  readonly evidence: Pick<Statistic<E>, "ofTables">;
  readonly codes: Codes<E | Gram | undefined>;
}) {
  const { ofTables } = solver.evidence;
  const evidence: Statistic<E | Gram> = { ...gramMatrices, ...(ofTables && { ofTables }) };
  return {
    evidence,
    of: "both" as const,
    async codes(
      weight: SlicedWeight,
      grid: ScaledGrid,
      context: LayerContext<E | Gram | undefined>,
    ): Promise<readonly Matrix[]> {
      const { evidence: grams, multiply } = context;
      if (!isGram(grams)) return solver.codes(weight, grid, context);
      const matrices: Matrix[] = [];
      for (const [group, values] of weight.matrices.entries()) {
        const [gram, cross] = [grams.groups[group], grams.cross?.[group]];
        const hasBoth = gram !== undefined && cross !== undefined;
        matrices.push(hasBoth ? await fitOriginal(values, gram, cross, multiply) : values);
      }
      return solver.codes({ ...weight, matrices }, grid, context);
    },
  };
}

const isGram = (evidence: unknown): evidence is Gram =>
  typeof evidence === "object" && evidence !== null && "groups" in evidence;

/** Returns w*, or the weight itself if the system has no solution. Zeros of the weight stay 0. */
async function fitOriginal(weight: Matrix, gram: Matrix, cross: Matrix, multiply: Multiply): Promise<Matrix> {
  const factor = await cholesky(dampDiagonal(gram), multiply);
  if (factor instanceof Miss) return weight;
  const crossProduct = await multiply(dampDiagonal(cross, gram), transpose(weight));
  const { rows, columns, data } = transpose(await solveCholesky(factor, crossProduct, multiply));
  return matrix(
    rows,
    columns,
    data.map((value, index) => (weight.data[index] === 0 ? 0 : value)),
  );
}

export const gptaq = {
  ...matchOriginalOutputs(gptq),
  id: "gptaq",
  summary: "gptq that also compensates for the error of earlier layers (needs samples)",
  blind: true,
  scales: scalesByOutputError,
} satisfies Solver<Gram | undefined>;
