/**
 * Tucker-2 decomposition of a convolution's weight over its two channel axes (Kim et al. 2016):
 *      W[o, i, k] ≈ Σ_{a, b} U[o, a] · C[a, b, k] · V[i, b]
 * It runs as a 1 × 1 convolution Vᵀ (in → b), a small kernel C (b → a), and a 1 × 1 convolution U (a → out). The computation starts from the leading
 * singular vectors of both unfoldings (HOSVD). It then alternates between the two factors, output first (HOOI, De Lathauwer et al. 2000). U and V are
 * orthonormal, so ‖W − Ŵ‖² = ‖W‖² − ‖C‖².
 */
import { PithError } from "#ir";
import { frobenius, type Matrix, matrix, multiplyHere, transpose } from "../../core/math/matrix.ts";
import { type TruncationOptions, truncatedSvd } from "../../core/math/truncate.ts";

export interface Tucker2 {
  /** out × rankOut, orthonormal columns. */
  readonly out: Matrix;
  /** in × rankIn, orthonormal columns. */
  readonly in: Matrix;
  /** rankOut × (rankIn · kernel): the small kernel, row-major. */
  readonly core: Matrix;
  /** ‖W - Ŵ‖ / ‖W‖. */
  readonly relativeError: number;
}

export interface Tucker2Options extends TruncationOptions {
  readonly rankOut: number;
  readonly rankIn: number;
}

/** The number of alternations after the start. The first gives most of the improvement. */
const iterations = 5;

/**
 * Returns the Tucker-2 decomposition of a weight [out, in, …kernel], given as an out × (in · kernel) matrix.
 * @throws PithError E_SHAPE_MISMATCH if the columns are not a multiple of the input channels, E_OPTION if a rank is out of range.
 */
export async function tucker2(weight: Matrix, inputs: number, options: Tucker2Options): Promise<Tucker2> {
  const { rankOut, rankIn, multiply = multiplyHere } = options;
  const kernel = weight.columns / inputs;
  if (!Number.isInteger(kernel) || kernel === 0) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `${weight.columns} columns are not a multiple of ${inputs} input channels.`,
    );
  }
  for (const [rank, max, side] of [
    [rankOut, weight.rows, "output"],
    [rankIn, inputs, "input"],
  ] as const) {
    if (!Number.isInteger(rank) || rank < 1 || rank > max) {
      throw new PithError("E_OPTION", `The rank on the ${side} side is from 1 to ${max}, got ${rank}.`);
    }
  }
  const byInput = swapChannels(weight, inputs);
  const norm = frobenius(weight);
  const leadingOf = async (unfolded: Matrix, rank: number) => leadingVectors(unfolded, rank, options);
  let out = await leadingOf(weight, rankOut);
  let input = await leadingOf(byInput, rankIn);
  for (let iteration = 0; iteration < iterations; iteration++) {
    out = await leadingOf(swapChannels(await multiply(transpose(input), byInput), weight.rows), rankOut);
    input = await leadingOf(swapChannels(await multiply(transpose(out), weight), inputs), rankIn);
  }
  const partialCore = swapChannels(await multiply(transpose(out), weight), inputs);
  const core = swapChannels(await multiply(transpose(input), partialCore), rankOut);
  const relativeError = norm === 0 ? 0 : Math.sqrt(Math.max(0, 1 - (frobenius(core) / norm) ** 2));
  return { out, in: input, core, relativeError };
}

/** Swaps the first two axes of a tensor [a, b, k]: an a × (b · k) matrix becomes a b × (a · k) matrix. */
export function swapChannels(source: Matrix, second: number): Matrix {
  const kernel = source.columns / second;
  const result = matrix(second, source.rows * kernel);
  for (let a = 0; a < source.rows; a++) {
    for (let b = 0; b < second; b++) {
      const from = (a * second + b) * kernel;
      result.data.set(source.data.subarray(from, from + kernel), (b * source.rows + a) * kernel);
    }
  }
  return result;
}

/** Returns the `rank` leading left singular vectors. If the matrix has fewer columns, adds further orthonormal vectors. */
async function leadingVectors(unfolded: Matrix, rank: number, options: TruncationOptions): Promise<Matrix> {
  if (rank <= unfolded.columns) return (await truncatedSvd(unfolded, rank, options)).u;
  const padded = matrix(unfolded.rows, rank);
  for (let row = 0; row < unfolded.rows; row++) {
    padded.data.set(unfolded.data.subarray(row * unfolded.columns, (row + 1) * unfolded.columns), row * rank);
  }
  return (await truncatedSvd(padded, rank, options)).u;
}
