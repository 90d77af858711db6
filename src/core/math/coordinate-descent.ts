/**
 * Rounds to a grid by coordinate descent. With all other columns fixed, the best value at column j of a row ŵ for w is the grid value nearest to
 *      ŵⱼ + gⱼ / Hⱼⱼ,    g = (w − ŵ) H,    H = Σ x xᵀ over layer inputs x,
 * so the error Σ ‖x (ŵ − w)ᵀ‖² never increases (QuantEase, Behdin et al. 2023, arXiv 2309.01885). Each block of columns updates the later ones with
 * one matrix product.
 */
import { type Matrix, type Multiply, matrix, sliceColumns, sliceRows, subtract } from "./matrix.ts";
import { product, runWith, type Steps } from "./steps.ts";
import { axpy } from "./vector.ts";

/** The number of columns per matrix product. */
const blockSize = 128;

/**
 * Passes once over the columns.
 * @param rounded ŵ, which is changed in place.
 * @param gram H = Σ x xᵀ.
 * @param project Rounds a value to the grid.
 */
export const descend = (
  weight: Matrix,
  rounded: Matrix,
  gram: Matrix,
  project: (row: number, column: number, value: number) => number,
  multiply: Multiply,
): Promise<void> => runWith(descent(weight, rounded, gram, project), multiply);

function* descent(
  weight: Matrix,
  rounded: Matrix,
  gram: Matrix,
  project: (row: number, column: number, value: number) => number,
): Steps<void> {
  const { rows, columns: width, data } = rounded;
  const slopes = yield* product(subtract(weight, rounded), gram);
  for (let from = 0; from < width; from += blockSize) {
    const to = Math.min(width, from + blockSize);
    const size = to - from;
    const across = sliceRows(gram, from, to);
    const blockGram = sliceColumns(across, from, to).data;
    const changes = matrix(rows, size);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < size; column++) {
        const [at, curvature] = [row * width + from + column, blockGram[column * (size + 1)] ?? 0];
        if (curvature <= 0) continue;
        const before = data[at] ?? 0;
        const after = project(row, from + column, before + (slopes.data[at] ?? 0) / curvature);
        if (after === before) continue;
        data[at] = after;
        changes.data[row * size + column] = after - before;
        axpy(before - after, blockGram, column * size, slopes.data, row * width + from, size);
      }
    if (to === width) continue;
    const change = yield* product(changes, sliceColumns(across, to, width));
    for (let row = 0; row < rows; row++)
      axpy(-1, change.data, row * (width - to), slopes.data, row * width + to, width - to);
  }
}
