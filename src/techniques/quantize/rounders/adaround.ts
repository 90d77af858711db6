import { type Matrix, type Multiply, matrix, subtract, transpose } from "../../../core/math/matrix.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { nearestCodes } from "../grid.ts";
import { adaptiveCodes } from "./adaptive-rounding.ts";
import { scalesByOutputError } from "./sequential-mse.ts";

const steps = 500;

/** AdaRound (Nagel et al. 2020): rounds up or down so that a layer on the changed inputs approximates its original outputs. */
export const adaround = {
  id: "adaround",
  summary: "AdaRound: round each weight up or down to preserve the layer's outputs (needs samples)",
  evidence: gramMatrices,
  of: "both",
  blind: true,
  scales: scalesByOutputError,
  async codes(weight, grid, { evidence, multiply }) {
    if (evidence === undefined) return nearestCodes(weight, grid);
    const { groups, cross } = evidence;
    const codes: Matrix[] = [];
    for (const [group, values] of weight.matrices.entries()) {
      const gram = groups[group] ?? matrix(values.columns, values.columns);
      const slope = cross?.[group] === undefined ? {} : { slope: await slopeOf(values, gram, cross[group], multiply) };
      const { zero, ...elements } = gridByElement(weight, grid, group);
      const { rows, columns, data } = await adaptiveCodes(
        { weight: values, gram, ...elements, ...slope },
        steps,
        multiply,
      );
      codes.push(
        matrix(
          rows,
          columns,
          data.map((code, index) => code + (zero[index] ?? 0)),
        ),
      );
    }
    return codes;
  },
} satisfies Solver<Gram | undefined>;

/** Returns half the gradient of the error at the weight: w (G − Cᵀ). */
const slopeOf = (weight: Matrix, gram: Matrix, cross: Matrix, multiply: Multiply): Promise<Matrix> =>
  multiply(weight, subtract(gram, transpose(cross)));

function gridByElement({ matrices, sliceAt }: SlicedWeight, grid: ScaledGrid, group: number) {
  const { columns = 1, data = new Float64Array() } = matrices[group] ?? {};
  const slices = data.map((_, index) => sliceAt(group, Math.floor(index / columns), index % columns));
  const zero = slices.map((slice) => grid.zeroPoint[slice] ?? 0);
  return {
    zero,
    // The scale of an all-zero slice can be 0.
    scale: slices.map((slice) => grid.scale[slice] || 1),
    low: zero.map((center) => grid.low - center),
    high: zero.map((center) => grid.high - center),
  };
}
