/**
 * Rounds weights by coordinate descent. If all other columns of a row ŵ are fixed, the best value for column j is the quantized value nearest to
 *      ŵⱼ + gⱼ / Hⱼⱼ,    g = (w − ŵ) H,    H = Σ x xᵀ over layer inputs x,
 * so the error Σ ‖x (ŵ − w)ᵀ‖² of the original row w does not increase (QuantEase, Behdin et al. 2023, arXiv 2309.01885).
 */
import { type Matrix, type Multiply, matrix, sliceColumns, sliceRows, subtract } from "../../../core/math/matrix.ts";
import { product, runSteps, type Steps } from "../../../core/math/steps.ts";
import { axpy } from "../../../core/math/vector.ts";

/** The number of columns per matrix product. */
const blockSize = 128;

/** Rounds each column once. @param roundedWeight ŵ, changed in place. @param gram H = Σ x xᵀ. @param project returns the nearest representable value. */
export const descend = (
  weight: Matrix,
  roundedWeight: Matrix,
  gram: Matrix,
  project: (row: number, column: number, value: number) => number,
  multiply: Multiply,
): Promise<void> => runSteps(descendColumns(weight, roundedWeight, gram, project), multiply);

function* descendColumns(
  weight: Matrix,
  roundedWeight: Matrix,
  gram: Matrix,
  project: (row: number, column: number, value: number) => number,
): Steps<void> {
  const { rows, columns: width, data } = roundedWeight;
  const slopes = yield* product(subtract(weight, roundedWeight), gram);
  for (let from = 0; from < width; from += blockSize) {
    const to = Math.min(width, from + blockSize);
    const size = to - from;
    const gramRows = sliceRows(gram, from, to);
    const blockGram = sliceColumns(gramRows, from, to).data;
    const changes = matrix(rows, size);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < size; column++) {
        const [at, curvature] = [row * width + from + column, blockGram[column * (size + 1)] ?? 0];
        if (curvature <= 0) continue;
        const oldValue = data[at] ?? 0;
        const newValue = project(row, from + column, oldValue + (slopes.data[at] ?? 0) / curvature);
        if (newValue === oldValue) continue;
        data[at] = newValue;
        changes.data[row * size + column] = newValue - oldValue;
        // Slopes of earlier columns are not read again.
        const next = column + 1;
        axpy(oldValue - newValue, blockGram, column * size + next, slopes.data, at + 1, size - next);
      }
    if (to === width) continue;
    const change = yield* product(changes, sliceColumns(gramRows, to, width));
    for (let row = 0; row < rows; row++)
      axpy(-1, change.data, row * (width - to), slopes.data, row * width + to, width - to);
  }
}
