/** Values of a weight by channel: rows along an axis, and sums of squares. */
import { axisLayout } from "#ir";

/** Returns Σ x² of each channel in float64. */
export function channelSquares(values: ArrayLike<number>, dims: readonly number[], axis: number): Float64Array {
  const { count, inner } = axisLayout(dims, axis);
  const sums = new Float64Array(count);
  for (let start = 0; start < values.length; start += count * inner)
    for (let channel = 0, index = start; channel < count; channel++) {
      let sum = sums[channel] as number;
      for (const end = index + inner; index < end; index++) sum += (values[index] as number) ** 2;
      sums[channel] = sum;
    }
  return sums;
}

export function rowsAlong(numbers: ArrayLike<number>, dims: readonly number[], axis: number): readonly Float64Array[] {
  const { outer, count, inner } = axisLayout(dims, axis);
  return Array.from({ length: count }, (_, channel) =>
    Float64Array.from({ length: outer * inner }, (_, index) => {
      const block = Math.floor(index / inner);
      return numbers[(block * count + channel) * inner + (index % inner)] ?? 0;
    }),
  );
}
