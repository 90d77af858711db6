/** What 4 bits would lose of a weight: blocks of 32 along the inputs, each with a float32 scale, codes rounded to the nearest. */
import { blockScale, type Matrix } from "../math/index.ts";

const size = 32;

/** Bytes for each float32 that they replace. */
export const fourBitShare = (4 + 32 / size) / 32;

/** ‖W - Ŵ‖ / ‖W‖ over all groups. */
export function fourBitError(matrices: readonly Matrix[]): number {
  let [signal, noise] = [0, 0];
  for (const { rows, columns, data } of matrices) {
    for (let row = 0; row < rows; row++) {
      for (let from = row * columns; from < (row + 1) * columns; from += size) {
        const block = data.subarray(from, Math.min(from + size, (row + 1) * columns));
        const { scale } = blockScale(Math.min(0, ...block), Math.max(0, ...block), { bits: 4, symmetric: true });
        for (const value of block) {
          const code = scale === 0 ? 0 : Math.min(7, Math.max(-8, Math.round(value / scale)));
          signal += value * value;
          noise += (value - code * scale) ** 2;
        }
      }
    }
  }
  return signal === 0 ? 0 : Math.sqrt(noise / signal);
}
