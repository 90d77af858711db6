/**
 * Two layers by truncated SVD of the unfolded weight, the best of their rank (Eckart and Young 1936). The first slides along the
 * first window axes, the second along the others:
 *
 *     W[o, i, s, t] = M[(o, t), (i, s)] = U S Vᵀ ≈ (U_r √S_r) · (√S_r V_rᵀ)
 *
 *     svd              all axes in the first:  k × k with r outputs, then 1 × 1; also for matrices (Zhang et al. 2016)
 *     input-channels   no axes in the first:   1 × 1 to r channels, then k × k
 *     spatial          one axis in the first:  k × 1, then 1 × k (Jaderberg et al. 2014)
 *
 * Equal norms of both factors (√S) help fine-tuning. With input weights, `svd` truncates W S and keeps its left vectors U: Ŵ = U Uᵀ W.
 */
import { Miss } from "#ir";
import { frobenius, type Matrix, matrix, scaleColumns, scaleRows, transpose } from "../../core/math/matrix.ts";
import { energyShares } from "../../core/math/rank.ts";
import {
  applyInputWeights,
  chainCost,
  type Decomposition,
  errorOfGroups,
  type PartShape,
  type Problem,
  product,
  ranksUpTo,
  type Step,
  shareOfGroups,
  withMatrices,
} from "./decomposition.ts";
import { truncatedSvd } from "./truncate.ts";
import { type WeightFactors, whitenedSvd } from "./whiten.ts";

function defineSvd(
  summary: string,
  firstAxisCount: (kernel: readonly number[]) => number,
  refuses: (kernel: readonly number[]) => Miss | undefined = () => undefined,
): Decomposition {
  /** Returns the size of the unfolded matrix, and in `after` the number of kernel positions that its rows contain. */
  const sizes = ({ matrices, kernel }: Problem) => {
    const after = product(kernel.slice(firstAxisCount(kernel)));
    const [{ rows, columns } = { rows: 0, columns: 0 }] = matrices;
    return { after, rows: rows * after, columns: columns / after, full: Math.min(rows * after, columns / after) };
  };
  const stepOfRank = (problem: Problem, requestedRank: number): Step => {
    const { after, rows, columns, full } = sizes(problem);
    const rank = Math.min(requestedRank, full);
    const axes = problem.kernel.map((_, axis) => axis);
    const first = firstAxisCount(problem.kernel);
    const parts: readonly PartShape[] = [
      { name: "down", rows: rank, columns, window: axes.slice(0, first) },
      { name: "up", rows: rows / after, columns: rank * after, window: axes.slice(first) },
    ];
    return { ...chainCost(problem, parts), rank, parts };
  };
  const steps = (problem: Problem): readonly Step[] =>
    ranksUpTo(sizes(problem).full, problem).map((rank) => stepOfRank(problem, rank));
  return {
    summary,
    stepOfRank,
    steps,
    refuses: ({ kernel }) => refuses(kernel),
    async spectrum(problem) {
      const { matrices, multiply } = problem;
      const { after, full } = sizes(problem);
      const weightedMatrices = await Promise.all(
        matrices.map((weight, group) => applyInputWeights(unfold(weight, after), group, problem)),
      );
      const shares = await Promise.all(weightedMatrices.map((weight) => energyShares(weight, multiply)));
      const lostSquares = new Float64Array(full + 1);
      for (const [group, share] of shareOfGroups(weightedMatrices.map(frobenius)).entries()) {
        let sum = 0;
        for (let rank = full - 1; rank >= 0; rank--) {
          sum += shares[group]?.[rank] ?? 0;
          lostSquares[rank] = (lostSquares[rank] ?? 0) + share * sum;
        }
      }
      return steps(problem).map((step) => ({ ...step, lost: lostSquares[step.rank] ?? 0 }));
    },
    async factors(problem, { rank, parts }) {
      const { matrices, inputs, multiply, seed } = problem;
      const { after } = sizes(problem);
      const factors = await Promise.all(
        matrices.map(async (weight, group) => {
          const [unfolded, inputWeights] = [unfold(weight, after), inputs?.[group]];
          if (inputWeights !== undefined)
            return balance(await whitenedSvd(unfolded, inputWeights, rank, { multiply, seed }));
          const { u, s, v, relativeError } = await truncatedSvd(unfolded, rank, { multiply, seed });
          return balance({ left: u, right: scaleRows(transpose(v), s), relativeError });
        }),
      );
      const [down, up] = [factors.map(({ right }) => right), factors.map(({ left }) => asWeight(left, after))];
      const errors = factors.map(({ relativeError }) => relativeError);
      return { parts: withMatrices(parts, [down, up]), relativeError: await errorOfGroups(errors, problem) };
    },
  };
}

export const svd = defineSvd("a kernel with fewer outputs, then a matrix (1 × 1)", ({ length }) => length);

export const inputChannelSvd = defineSvd(
  "a matrix (1 × 1) to fewer channels, then a kernel",
  () => 0,
  (kernel) => (product(kernel) === 1 ? new Miss("its kernel is 1 × 1, which `svd` decomposes") : undefined),
);

export const spatial = defineSvd(
  "a kernel along one axis, then one along the other (k × 1, 1 × k)",
  () => 1,
  (kernel) =>
    kernel.filter((size) => size > 1).length < 2 ? new Miss("its kernel does not extend along two axes") : undefined,
);

/** Scales column k of the left factor and row k of the right one to the same norm. */
function balance({ left, right, relativeError }: WeightFactors): WeightFactors {
  const roots = Float64Array.from({ length: right.rows }, (_, row) => {
    const values = right.data.subarray(row * right.columns, (row + 1) * right.columns);
    return values.reduce((sum, value) => sum + value * value, 0) ** 0.25;
  });
  const inverse = roots.map((root) => (root === 0 ? 0 : 1 / root));
  return { left: scaleColumns(left, roots), right: scaleRows(right, inverse), relativeError };
}

/** Transposes consecutive matrices: [any, rows, columns] → [any, columns, rows]. */
function transposeEach(data: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(data.length);
  const size = rows * columns;
  for (let index = 0; index < data.length; index += size)
    result.set(transpose(matrix(rows, columns, data.subarray(index, index + size))).data, index);
  return result;
}

/** Reshapes a weight W[o, (i, s, t)] to M[(o, t), (i, s)]. @param after size of the axes t. */
function unfold({ rows, columns, data }: Matrix, after: number): Matrix {
  const inner = columns / after;
  return matrix(rows * after, inner, after === 1 ? data : transposeEach(data, inner, after));
}

/** Reshapes a factor [(o, t), r] to a weight [o, (r, t)]. */
function asWeight({ rows, columns, data }: Matrix, after: number): Matrix {
  return matrix(rows / after, columns * after, after === 1 ? data : transposeEach(data, after, columns));
}
