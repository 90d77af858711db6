/** Computes the error of 4-bit quantization, for comparison with factorization: blocks of 32 inputs, float32 scales, rounding to nearest. */
import { blockScale } from "../../core/math/blocks.ts";
import { frobenius, type Matrix, matrix, subtract } from "../../core/math/matrix.ts";
import { applyInputWeights, type Problem } from "./decomposition.ts";

const blockSize = 32;

/** Bits per value, including its share of the scale. */
export const fourBitSize = 4 + 32 / blockSize;

/** Returns ‖W - Ŵ‖ / ‖W‖ over all groups, with input weights if known. */
export async function fourBitError(problem: Problem): Promise<number> {
  let [signal, noise] = [0, 0];
  for (const [group, weight] of problem.matrices.entries()) {
    signal += frobenius(await applyInputWeights(weight, group, problem)) ** 2;
    noise += frobenius(await applyInputWeights(subtract(weight, roundBlocks(weight)), group, problem)) ** 2;
  }
  return signal === 0 ? 0 : Math.sqrt(noise / signal);
}

function roundBlocks({ rows, columns, data }: Matrix): Matrix {
  const result = matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (let from = row * columns; from < (row + 1) * columns; from += blockSize) {
      const block = data.subarray(from, Math.min(from + blockSize, (row + 1) * columns));
      const { scale } = blockScale(Math.min(0, ...block), Math.max(0, ...block), { bits: 4, symmetric: true });
      for (const [index, value] of block.entries())
        result.data[from + index] = scale === 0 ? 0 : scale * Math.min(7, Math.max(-8, Math.round(value / scale)));
    }
  }
  return result;
}
