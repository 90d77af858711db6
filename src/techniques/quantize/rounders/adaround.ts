/**
 * Adaptive rounding (Nagel et al. 2020, arXiv 2004.10568): rounds each weight w up or down to ŵ so that the layer's outputs change least.
 *      ŵ = s · clip(⌊w / s⌋ + h, low, high),     h = clip(σ(v) (ζ − γ) + γ, 0, 1),     ζ = 1.1, γ = −0.1
 *      min  Σ over rows (ŵ − w) G (ŵ − w)ᵀ / n  +  λ Σ (1 − |2h − 1|^β),                n = mean s² · mean of diag G
 * Here s is the scale, v the variable that Adam optimizes, σ the sigmoid, and G = Σ x xᵀ over layer inputs x. Each step needs one matrix product. The
 * regularizer (weight λ) starts after a fifth of the steps; β then falls from 20 to 2 along a cosine. Finally, individual weights are rounded the
 * other way as long as this reduces the error. If the target outputs differ from w · x, the error has a gradient at ŵ = w; `slope` is half of it. The
 * paper uses n = 1, λ = 0.01 and 10,000 steps with a learning rate of 0.001. Dividing by n makes the result independent of the scale of the inputs
 * and allows fewer steps.
 */
import { type Matrix, type Multiply, matrix, subtract, transpose } from "../../../core/math/matrix.ts";
import { product, runWith, type Steps } from "../../../core/math/steps.ts";
import { axpy } from "../../../core/math/vector.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { nearestCodes } from "../grid.ts";
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

const [zeta, gamma] = [1.1, -0.1];
/** The weight λ of the regularizer. */
const lambda = 0.3;
const [firstBeta, lastBeta] = [20, 2];
/** The share of steps before the regularizer starts. */
const warmupShare = 0.2;
/** Adam's learning rate for v. */
const learningRate = 0.05;
const [meanDecay, squareDecay, tiny] = [0.9, 0.999, 1e-8];
/** The maximum number of greedy passes over a row after the optimization. */
const maxSweeps = 20;

export interface RoundingProblem {
  readonly weight: Matrix;
  /** The scale of each weight (outputs × inputs). */
  readonly scale: Float64Array;
  /** The lowest and highest quantized value of each weight, relative to the zero point. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** G = Σ x xᵀ over layer inputs x, inputs × inputs. */
  readonly gram: Matrix;
  /** Half of the error's gradient at the unrounded weight, outputs × inputs; 0 by default. */
  readonly slope?: Matrix;
}

/** Returns the quantized values of a weight, relative to the zero point. Zero weights stay zero. */
export const adaptiveCodes = (problem: RoundingProblem, steps: number, multiply: Multiply): Promise<Matrix> =>
  runWith(roundAdaptively(problem, steps), multiply);

function* roundAdaptively(problem: RoundingProblem, steps: number): Steps<Matrix> {
  const optimized = yield* roundGreedily(problem, yield* relax(problem, steps));
  const nearest = yield* roundGreedily(problem, nearestOf(problem));
  // Takes the better of the two results for each row, because rows are independent.
  const { rows, columns } = optimized.codes;
  for (let row = 0; row < rows; row++)
    if ((nearest.error[row] ?? 0) < (optimized.error[row] ?? 0))
      optimized.codes.data.set(nearest.codes.data.subarray(row * columns, (row + 1) * columns), row * columns);
  return optimized.codes;
}

const clampCode = ({ low, high }: RoundingProblem, at: number, code: number): number =>
  Math.min(high[at] ?? 0, Math.max(low[at] ?? 0, code));

function nearestOf(problem: RoundingProblem): Matrix {
  const { weight, scale } = problem;
  const codes = weight.data.map((value, at) =>
    value === 0 ? 0 : clampCode(problem, at, Math.round(value / (scale[at] ?? 1))),
  );
  return matrix(weight.rows, weight.columns, codes);
}

function* relax(problem: RoundingProblem, steps: number): Steps<Matrix> {
  const { weight, scale, gram, slope } = problem;
  const { rows, columns, data } = weight;
  const floor = data.map((value, at) => Math.floor(value / (scale[at] ?? 1)));
  const v = data.map((value, at) => {
    const fraction = Math.min(0.99, Math.max(0.01, value / (scale[at] ?? 1) - (floor[at] ?? 0)));
    return -Math.log((zeta - gamma) / (fraction - gamma) - 1);
  });
  const [h, slopes] = [new Float64Array(data.length), new Float64Array(data.length)];
  const [means, meanSquares] = [new Float64Array(data.length), new Float64Array(data.length)];
  const rowNorms = rowNormsOf(problem);
  const error = matrix(rows, columns);
  for (let step = 1; step <= steps; step++) {
    for (let at = 0; at < data.length; at++) {
      const sigmoid = 1 / (1 + Math.exp(-(v[at] ?? 0)));
      const unclipped = sigmoid * (zeta - gamma) + gamma;
      const roundUp = Math.min(1, Math.max(0, unclipped));
      const code = (floor[at] ?? 0) + roundUp;
      const clampedCode = clampCode(problem, at, code);
      h[at] = roundUp;
      slopes[at] = roundUp === unclipped && clampedCode === code ? (zeta - gamma) * sigmoid * (1 - sigmoid) : 0;
      error.data[at] = clampedCode * (scale[at] ?? 0) - (data[at] ?? 0);
    }
    const gradient = yield* product(error, gram);
    const share = (step / steps - warmupShare) / (1 - warmupShare);
    const beta = lastBeta + 0.5 * (firstBeta - lastBeta) * (1 + Math.cos(Math.PI * share));
    const [meanCorrection, squareCorrection] = [1 - meanDecay ** step, 1 - squareDecay ** step];
    for (let at = 0; at < data.length; at++) {
      if (data[at] === 0) continue;
      const signedRounding = 2 * (h[at] ?? 0) - 1;
      const regularizer =
        share > 0 ? 2 * lambda * beta * Math.sign(signedRounding) * Math.abs(signedRounding) ** (beta - 1) : 0;
      const slopeHere = (gradient.data[at] ?? 0) + (slope?.data[at] ?? 0);
      const change =
        ((2 * (scale[at] ?? 0) * slopeHere) / (rowNorms[Math.floor(at / columns)] ?? 1) - regularizer) *
        (slopes[at] ?? 0);
      const mean = meanDecay * (means[at] ?? 0) + (1 - meanDecay) * change;
      const square = squareDecay * (meanSquares[at] ?? 0) + (1 - squareDecay) * change * change;
      means[at] = mean;
      meanSquares[at] = square;
      v[at] = (v[at] ?? 0) - (learningRate * (mean / meanCorrection)) / (Math.sqrt(square / squareCorrection) + tiny);
    }
  }
  const codes = data.map((value, at) =>
    value === 0 ? 0 : clampCode(problem, at, (floor[at] ?? 0) + ((h[at] ?? 0) >= 0.5 ? 1 : 0)),
  );
  return matrix(rows, columns, codes);
}

function rowNormsOf({ weight: { rows, columns }, scale, gram }: RoundingProblem): Float64Array {
  let meanSquare = 0;
  for (let at = 0; at < columns; at++) meanSquare += (gram.data[at * (columns + 1)] ?? 0) / columns;
  return Float64Array.from({ length: rows }, (_, row) => {
    const rowScales = scale.subarray(row * columns, (row + 1) * columns);
    return (rowScales.reduce((sum, value) => sum + value * value, 0) / columns) * meanSquare || 1;
  });
}

/** Rounds individual weights the other way (up instead of down) while this reduces the row's error. Returns quantized values and the rows' errors. */
function* roundGreedily(
  problem: RoundingProblem,
  start: Matrix,
): Steps<{ readonly codes: Matrix; readonly error: Float64Array }> {
  const { weight, scale, gram, slope } = problem;
  const { rows, columns } = weight;
  const codes = start.data.slice();
  const errors = codes.map((code, at) => code * (scale[at] ?? 0) - (weight.data[at] ?? 0));
  const gradient = (yield* product(matrix(rows, columns, errors), gram)).data.slice();
  if (slope !== undefined) axpy(1, slope.data, 0, gradient, 0, gradient.length);
  for (let row = 0; row < rows; row++) roundRowGreedily(problem, row, codes, gradient);
  // The error of a row with ε = ŵ − w is ε G εᵀ + 2 slope · ε, and `gradient` is ε G + slope.
  const error = new Float64Array(rows);
  codes.forEach((code, at) => {
    const row = Math.floor(at / columns);
    const deviation = code * (scale[at] ?? 0) - (weight.data[at] ?? 0);
    error[row] = (error[row] ?? 0) + deviation * ((gradient[at] ?? 0) + (slope?.data[at] ?? 0));
  });
  return { codes: matrix(rows, columns, codes), error };
}

function roundRowGreedily(problem: RoundingProblem, row: number, codes: Float64Array, gradient: Float64Array): void {
  const { weight, scale, gram } = problem;
  const { columns } = weight;
  const start = row * columns;
  for (let sweep = 0, hasChanged = true; hasChanged && sweep < maxSweeps; sweep++) {
    hasChanged = false;
    for (let column = 0; column < columns; column++) {
      const at = start + column;
      const [value, size, code] = [weight.data[at] ?? 0, scale[at] ?? 0, codes[at] ?? 0];
      if (value === 0) continue;
      const floorCode = Math.floor(value / size);
      const otherCode = clampCode(problem, at, code === floorCode ? floorCode + 1 : floorCode);
      const change = (otherCode - code) * size;
      const gain = change * (2 * (gradient[at] ?? 0) + change * (gram.data[column * (columns + 1)] ?? 0));
      // Ignores changes within the rounding error of the sums.
      if (!(gain < -1e-12 * Math.abs(change * (gradient[at] ?? 0)))) continue;
      codes[at] = otherCode;
      hasChanged = true;
      axpy(change, gram.data, column * columns, gradient, start, columns);
    }
  }
}
