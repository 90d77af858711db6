/**
 * Numbers on a grid, one column after the other: with all others as they are, of a row ŵ that stands for w the number at j answers best at what the grid has nearest to
 *
 *     ŵⱼ + gⱼ / Hⱼⱼ,    g = (w − ŵ) H,    H = Σ x xᵀ
 *
 * so the error Σ ‖x (ŵ − w)ᵀ‖² never grows (QuantEase, Behdin et al. 2023, arXiv 2309.01885). What a block of columns changes behind it is one product.
 */
import { type Matrix, type Multiply, matrix, sliceColumns, sliceRows, subtract } from "./matrix.ts";
import { product, runWith, type Steps } from "./steps.ts";
import { axpy } from "./vector.ts";

/** Columns that are changed one by one before the product. */
const blockSize = 128;

/**
 * Passes once over the columns.
 * @param rounded ŵ, which changes in place. @param becomes what the grid has nearest to a value.
 */
export const descend = (
  weight: Matrix,
  rounded: Matrix,
  gram: Matrix,
  becomes: (row: number, column: number, value: number) => number,
  multiply: Multiply,
): Promise<void> => runWith(descent(weight, rounded, gram, becomes), multiply);

function* descent(
  weight: Matrix,
  rounded: Matrix,
  gram: Matrix,
  becomes: (row: number, column: number, value: number) => number,
): Steps<void> {
  const { rows, columns: width, data } = rounded;
  const slopes = yield* product(subtract(weight, rounded), gram);
  for (let from = 0; from < width; from += blockSize) {
    const to = Math.min(width, from + blockSize);
    const size = to - from;
    const across = sliceRows(gram, from, to);
    const own = sliceColumns(across, from, to).data;
    const changes = matrix(rows, size);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < size; column++) {
        const [at, curvature] = [row * width + from + column, own[column * (size + 1)] ?? 0];
        if (curvature <= 0) continue;
        const before = data[at] ?? 0;
        const after = becomes(row, from + column, before + (slopes.data[at] ?? 0) / curvature);
        if (after === before) continue;
        data[at] = after;
        changes.data[row * size + column] = after - before;
        axpy(before - after, own, column * size, slopes.data, row * width + from, size);
      }
    if (to === width) continue;
    const change = yield* product(changes, sliceColumns(across, to, width));
    for (let row = 0; row < rows; row++)
      axpy(-1, change.data, row * (width - to), slopes.data, row * width + to, width - to);
  }
}
