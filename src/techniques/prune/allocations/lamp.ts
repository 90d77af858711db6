import type { Scores } from "../../../core/math/smallest.ts";
import { type Allocation, leastRelative } from "./allocation.ts";

/**
 * Layer-adaptive magnitudes (Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-based Pruning"): the square of a score
 * divided by the sum of the layer's squares at least as large. The largest has 1, so no layer becomes empty.
 */
export const lamp = {
  id: "lamp",
  summary: "the lowest scores of all layers, each relative to the larger scores of its layer",
  shares: (layers, amount) => leastRelative(layers, amount, layerAdaptive),
} satisfies Allocation;

export function layerAdaptive(scores: Scores): Float32Array {
  const squares = Float64Array.from(scores, (score) => score * score).sort();
  const result = new Float32Array(squares.length);
  let sum = 0;
  for (let at = squares.length - 1; at >= 0; at--) {
    const square = squares[at] ?? 0;
    sum += square;
    result[at] = square === 0 ? 0 : square / sum;
  }
  return result;
}
