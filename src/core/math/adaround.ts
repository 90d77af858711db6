/**
 * Adaptive rounding (Nagel et al. 2020, arXiv 2004.10568): rounds each weight up or down so that outputs change least,
 *      ŵ = s · clip(⌊w / s⌋ + h, low, high),     h = clip(σ(v) (ζ − γ) + γ, 0, 1),     ζ = 1.1, γ = −0.1
 *      min  Σ over rows (ŵ − w) G (ŵ − w)ᵀ / n  +  λ Σ (1 − |2h − 1|^β),                n = mean of s² · mean of G's diagonal
 * by Adam over v, with G = Σ x xᵀ: a step is one product. The regularizer starts after a fifth of the steps; then β falls from 20 to 2 along a
 * cosine. Then individual weights are rounded the other way as long as the error falls. If the layer must match the original on other inputs, the half gradient at ŵ = w is
 * `slope`. The paper has n = 1 and λ = 0.01 for 10,000 steps of 0.001; n makes rows independent of the input scale and allows fewer steps.
 */
import { type Matrix, type Multiply, matrix } from "./matrix.ts";
import { product, runWith, type Steps } from "./steps.ts";
import { axpy } from "./vector.ts";

const [zeta, gamma] = [1.1, -0.1];
const lambda = 0.3;
const [firstBeta, lastBeta] = [20, 2];
const warm = 0.2;
const rate = 0.05;
const [decay, secondDecay, tiny] = [0.9, 0.999, 1e-8];
const maxSweeps = 20;

export interface RoundingProblem {
  readonly weight: Matrix;
  /** Scale, and the lowest and highest quantized value, per weight, without zero point. */
  readonly scale: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly gram: Matrix;
  /** Half of the error's gradient at the weight, outputs × inputs (default: 0). */
  readonly slope?: Matrix;
}

/** Returns the quantized values of a weight, without zero point. Zero weights stay zero. @param steps Adam steps. */
export const adaptiveCodes = (problem: RoundingProblem, steps: number, multiply: Multiply): Promise<Matrix> =>
  runWith(roundAdaptively(problem, steps), multiply);

function* roundAdaptively(problem: RoundingProblem, steps: number): Steps<Matrix> {
  const relaxed = yield* roundGreedily(problem, yield* relax(problem, steps));
  const nearest = yield* roundGreedily(problem, nearestOf(problem));
  // Rows are independent: keeps the better result of each.
  const { rows, columns } = relaxed.codes;
  for (let row = 0; row < rows; row++)
    if ((nearest.error[row] ?? 0) < (relaxed.error[row] ?? 0))
      relaxed.codes.data.set(nearest.codes.data.subarray(row * columns, (row + 1) * columns), row * columns);
  return relaxed.codes;
}

const clamped = ({ low, high }: RoundingProblem, at: number, code: number): number =>
  Math.min(high[at] ?? 0, Math.max(low[at] ?? 0, code));

function nearestOf(problem: RoundingProblem): Matrix {
  const { weight, scale } = problem;
  const codes = weight.data.map((value, at) =>
    value === 0 ? 0 : clamped(problem, at, Math.round(value / (scale[at] ?? 1))),
  );
  return matrix(weight.rows, weight.columns, codes);
}

function* relax(problem: RoundingProblem, steps: number): Steps<Matrix> {
  const { weight, scale, gram, slope } = problem;
  const { rows, columns, data } = weight;
  const floor = data.map((value, at) => Math.floor(value / (scale[at] ?? 1)));
  const v = data.map((value, at) => {
    const rest = Math.min(0.99, Math.max(0.01, value / (scale[at] ?? 1) - (floor[at] ?? 0)));
    return -Math.log((zeta - gamma) / (rest - gamma) - 1);
  });
  const [h, slopes] = [new Float64Array(data.length), new Float64Array(data.length)];
  const [first, second] = [new Float64Array(data.length), new Float64Array(data.length)];
  const units = unitsOf(problem);
  const error = matrix(rows, columns);
  for (let step = 1; step <= steps; step++) {
    for (let at = 0; at < data.length; at++) {
      const sigmoid = 1 / (1 + Math.exp(-(v[at] ?? 0)));
      const open = sigmoid * (zeta - gamma) + gamma;
      const up = Math.min(1, Math.max(0, open));
      const code = (floor[at] ?? 0) + up;
      const kept = clamped(problem, at, code);
      h[at] = up;
      slopes[at] = up === open && kept === code ? (zeta - gamma) * sigmoid * (1 - sigmoid) : 0;
      error.data[at] = kept * (scale[at] ?? 0) - (data[at] ?? 0);
    }
    const gradient = yield* product(error, gram);
    const share = (step / steps - warm) / (1 - warm);
    const beta = lastBeta + 0.5 * (firstBeta - lastBeta) * (1 + Math.cos(Math.PI * share));
    const [bias, secondBias] = [1 - decay ** step, 1 - secondDecay ** step];
    for (let at = 0; at < data.length; at++) {
      if (data[at] === 0) continue;
      const side = 2 * (h[at] ?? 0) - 1;
      const pull = share > 0 ? 2 * lambda * beta * Math.sign(side) * Math.abs(side) ** (beta - 1) : 0;
      const slopeHere = (gradient.data[at] ?? 0) + (slope?.data[at] ?? 0);
      const change =
        ((2 * (scale[at] ?? 0) * slopeHere) / (units[Math.floor(at / columns)] ?? 1) - pull) * (slopes[at] ?? 0);
      const mean = decay * (first[at] ?? 0) + (1 - decay) * change;
      const square = secondDecay * (second[at] ?? 0) + (1 - secondDecay) * change * change;
      first[at] = mean;
      second[at] = square;
      v[at] = (v[at] ?? 0) - (rate * (mean / bias)) / (Math.sqrt(square / secondBias) + tiny);
    }
  }
  const codes = data.map((value, at) =>
    value === 0 ? 0 : clamped(problem, at, (floor[at] ?? 0) + ((h[at] ?? 0) >= 0.5 ? 1 : 0)),
  );
  return matrix(rows, columns, codes);
}

function unitsOf({ weight: { rows, columns }, scale, gram }: RoundingProblem): Float64Array {
  let meanSquare = 0;
  for (let at = 0; at < columns; at++) meanSquare += (gram.data[at * (columns + 1)] ?? 0) / columns;
  return Float64Array.from({ length: rows }, (_, row) => {
    const rowScales = scale.subarray(row * columns, (row + 1) * columns);
    return (rowScales.reduce((sum, value) => sum + value * value, 0) / columns) * meanSquare || 1;
  });
}

/** Rounds individual weights the other way as long as that lowers the error of their row. */
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
  for (let row = 0; row < rows; row++) descendRow(problem, row, codes, gradient);
  // ε G εᵀ + 2 slope · ε, where the gradient is ε G + slope.
  const error = new Float64Array(rows);
  codes.forEach((code, at) => {
    const row = Math.floor(at / columns);
    const off = code * (scale[at] ?? 0) - (weight.data[at] ?? 0);
    error[row] = (error[row] ?? 0) + off * ((gradient[at] ?? 0) + (slope?.data[at] ?? 0));
  });
  return { codes: matrix(rows, columns, codes), error };
}

function descendRow(problem: RoundingProblem, row: number, codes: Float64Array, gradient: Float64Array): void {
  const { weight, scale, gram } = problem;
  const { columns } = weight;
  const start = row * columns;
  for (let sweep = 0, changed = true; changed && sweep < maxSweeps; sweep++) {
    changed = false;
    for (let column = 0; column < columns; column++) {
      const at = start + column;
      const [value, size, code] = [weight.data[at] ?? 0, scale[at] ?? 0, codes[at] ?? 0];
      if (value === 0) continue;
      const below = Math.floor(value / size);
      const other = clamped(problem, at, code === below ? below + 1 : below);
      const change = (other - code) * size;
      const gain = change * (2 * (gradient[at] ?? 0) + change * (gram.data[column * (columns + 1)] ?? 0));
      // Ignores gains below the rounding error of the sums.
      if (!(gain < -1e-12 * Math.abs(change * (gradient[at] ?? 0)))) continue;
      codes[at] = other;
      changed = true;
      axpy(change, gram.data, column * columns, gradient, start, columns);
    }
  }
}
