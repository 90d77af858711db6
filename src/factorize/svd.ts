/**
 * Two layers by the truncated singular value decomposition of the weight, unfolded into a matrix: the best of their rank (Eckart and Young 1936).
 * The first slides along the first axes of the window, the second along the others:
 *
 *     W[o, i, s, t] = M[(o, t), (i, s)] = U S Vᵀ ≈ (U_r √S_r) · (√S_r V_rᵀ)
 *
 *     svd              all in the first:  k × k with r outputs, then 1 × 1; a plain matrix (Zhang et al. 2016)
 *     input-channels   none in the first: 1 × 1 to r channels, then k × k
 *     spatial          the first axis, then the others: k × 1, then 1 × k (Jaderberg et al. 2014)
 *
 * Each group of a convolution is decomposed by itself, to one rank. Splitting √S evenly keeps both factors of one size, which fine-tuning likes.
 *
 * Where the inputs are weighed, `svd` truncates W S instead and keeps its left vectors U: Ŵ = U Uᵀ W (`math/whiten.ts`).
 */
import { Miss } from "../errors.ts";
import {
  energyShares,
  evbmf,
  frobenius,
  type Matrix,
  matrix,
  scaleColumns,
  scaleRows,
  type TruncatedSvd,
  transpose,
  truncatedSvd,
  type WeightFactors,
  whitenedSvd,
} from "../math/index.ts";
import {
  chainCost,
  type Decomposition,
  type PartShape,
  type Prepared,
  type Problem,
  product,
  ranksUpTo,
  type Step,
  shareOfGroups,
  together,
  weighed,
} from "./decomposition.ts";

function bySvd(id: string, summary: string, axesOfFirst: (problem: Problem) => number | Miss): Decomposition {
  const prepare = async (problem: Problem): Promise<Prepared | Miss> => {
    const count = axesOfFirst(problem);
    if (count instanceof Miss) return count;
    if (problem.inputs !== undefined && count < problem.kernel.length)
      return new Miss("inputs are weighed by `svd` alone, whose first layer reads whole windows");
    return prepared(problem, count);
  };
  return { id, summary, prepare };
}

export const svd = bySvd("svd", "fewer outputs, then a matrix (1 × 1)", ({ kernel }) => kernel.length);

export const inputChannels = bySvd(
  "input-channels",
  "fewer inputs by a matrix (1 × 1), then the kernel",
  ({ kernel }) => (product(kernel) === 1 ? new Miss("its kernel is 1 × 1, which `svd` decomposes") : 0),
);

export const spatial = bySvd(
  "spatial",
  "the kernel along one axis, then along the other (k × 1, 1 × k)",
  ({ kernel }) =>
    kernel.filter((size) => size > 1).length < 2 ? new Miss("its kernel does not extend along two axes") : 1,
);

async function prepared(problem: Problem, axesOfFirst: number): Promise<Prepared> {
  const { kernel, multiple, multiply, seed } = problem;
  const axes = kernel.map((_, axis) => axis);
  const windows = [axes.slice(0, axesOfFirst), axes.slice(axesOfFirst)] as const;
  const after = product(kernel.slice(axesOfFirst));
  const unfolded = problem.matrices.map((weight) => unfold(weight, after));
  const counting = await Promise.all(unfolded.map((one, group) => weighed(one, group, problem)));
  const norms = counting.map(frobenius);
  const shares = await Promise.all(counting.map((one) => energyShares(one, multiply)));
  const { rows, columns } = unfolded[0] ?? matrix(0, 0);
  const full = Math.min(rows, columns);
  const lost = new Float64Array(full + 1);
  for (const [group, share] of shareOfGroups(norms).entries()) {
    let sum = 0;
    for (let rank = full - 1; rank >= 0; rank--) {
      sum += shares[group]?.[rank] ?? 0;
      lost[rank] = (lost[rank] ?? 0) + share * sum;
    }
  }
  const at = (wanted: number): Step => {
    const rank = Math.min(wanted, full);
    const parts: readonly PartShape[] = [
      { name: "down", rows: rank, columns, window: windows[0] },
      { name: "up", rows: rows / after, columns: rank * after, window: windows[1] },
    ];
    return { ...chainCost(problem, parts), ranks: [rank], parts, lost: lost[rank] ?? 0 };
  };
  return {
    steps: ranksUpTo(full, multiple).map(at),
    at,
    aboveNoise() {
      const found = shares.map((own) => evbmf(own.map(Math.sqrt), rows, columns));
      const refused = found.find((one) => one instanceof Miss);
      const ranks = found.flatMap((one) => (one instanceof Miss ? [] : one.rank));
      return refused instanceof Miss
        ? refused
        : at(Math.max(multiple, ...ranks.map((rank) => Math.ceil(rank / multiple) * multiple)));
    },
    async factors({ ranks: [rank = 1] }) {
      const found = await Promise.all(
        unfolded.map(async (one, group) => {
          const by = problem.inputs?.[group];
          return by === undefined
            ? balancedSvd(await truncatedSvd(one, rank, { multiply, seed }))
            : balanced(await whitenedSvd(one, by, rank, { multiply, seed }));
        }),
      );
      const down = found.map(({ right }) => right);
      const up = found.map(({ left }) => asWeight(left, after));
      return {
        parts: [
          { name: "down", matrices: down, window: windows[0] },
          { name: "up", matrices: up, window: windows[1] },
        ],
        relativeError: together(
          found.map(({ relativeError }) => relativeError),
          norms,
        ),
      };
    },
  };
}

function balancedSvd({ u, s, v, relativeError }: TruncatedSvd): Omit<WeightFactors, "loss"> {
  const roots = s.map(Math.sqrt);
  return { left: scaleColumns(u, roots), right: transpose(scaleColumns(v, roots)), relativeError };
}

/** Columns of the left are as long as rows of the right. */
function balanced({ left, right, relativeError }: WeightFactors): Omit<WeightFactors, "loss"> {
  const roots = Float64Array.from({ length: right.rows }, (_, row) => {
    const own = right.data.subarray(row * right.columns, (row + 1) * right.columns);
    return own.reduce((sum, value) => sum + value * value, 0) ** 0.25;
  });
  const inverse = roots.map((root) => (root === 0 ? 0 : 1 / root));
  return { left: scaleColumns(left, roots), right: scaleRows(right, inverse), relativeError };
}

/** W[o, (i, s, t)] as M[(o, t), (i, s)], with so many t. */
function unfold(weight: Matrix, after: number): Matrix {
  if (after === 1) return weight;
  const result = matrix(weight.rows * after, weight.columns / after);
  for (let o = 0; o < weight.rows; o++) {
    for (let is = 0; is < result.columns; is++) {
      for (let t = 0; t < after; t++)
        result.data[(o * after + t) * result.columns + is] = weight.data[o * weight.columns + is * after + t] ?? 0;
    }
  }
  return result;
}

/** [(o, t), r] as a weight [o, (r, t)]. */
function asWeight(left: Matrix, after: number): Matrix {
  if (after === 1) return left;
  const result = matrix(left.rows / after, left.columns * after);
  for (let o = 0; o < result.rows; o++) {
    for (let t = 0; t < after; t++) {
      for (let r = 0; r < left.columns; r++)
        result.data[o * result.columns + r * after + t] = left.data[(o * after + t) * left.columns + r] ?? 0;
    }
  }
  return result;
}
