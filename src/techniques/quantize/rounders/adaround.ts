import { adaptiveCodes, type Matrix, type Multiply, matrix, subtract, transpose } from "../../../core/math/index.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { nearestCodes } from "../grid.ts";
import { scalesByAnswers } from "./sequential-mse.ts";

const steps = 500;

/** AdaRound (Nagel et al. 2020): rounds up or down so that a layer on the changed inputs approximates its original outputs. */
export const adaround = {
  id: "adaround",
  summary: "AdaRound: round each weight up or down to preserve the layer's outputs (needs samples)",
  evidence: gramMatrices,
  of: "both",
  blind: true,
  scales: scalesByAnswers,
  async codes(weight, grid, { evidence, multiply }) {
    if (evidence === undefined) return nearestCodes(weight, grid);
    const { groups, cross } = evidence;
    const codes: Matrix[] = [];
    for (const [group, own] of weight.matrices.entries()) {
      const gram = groups[group] ?? matrix(own.columns, own.columns);
      const slope = cross?.[group] === undefined ? {} : { slope: await slopeOf(own, gram, cross[group], multiply) };
      const { zero, ...numbers } = numberByNumber(weight, grid, group);
      const found = await adaptiveCodes({ weight: own, gram, ...numbers, ...slope }, steps, multiply);
      codes.push(
        matrix(
          own.rows,
          own.columns,
          found.data.map((code, at) => code + (zero[at] ?? 0)),
        ),
      );
    }
    return codes;
  },
} satisfies Solver<Gram | undefined>;

/** Returns half the gradient of the error at the weight: w (G − Cᵀ). */
const slopeOf = (weight: Matrix, gram: Matrix, cross: Matrix, multiply: Multiply): Promise<Matrix> =>
  multiply(weight, subtract(gram, transpose(cross)));

function numberByNumber({ matrices, sliceAt }: SlicedWeight, grid: ScaledGrid, group: number) {
  const { columns = 1, data = new Float64Array() } = matrices[group] ?? {};
  const slices = data.map((_, at) => sliceAt(group, Math.floor(at / columns), at % columns));
  const zero = slices.map((slice) => grid.zeroPoint[slice] ?? 0);
  return {
    zero,
    // The scale of an all-zero slice can be 0.
    scale: slices.map((slice) => grid.scale[slice] || 1),
    low: zero.map((own) => grid.low - own),
    high: zero.map((own) => grid.high - own),
  };
}
