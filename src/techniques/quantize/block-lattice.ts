/**
 * Detects weights that were quantized before with a real zero point per block, as Q4_1 and Q4_K of GGUF and HQQ store them:
 *
 *     w = s · (j − z),  integers 0 ≤ j < 2ᵇ
 *
 * The fewest steps n of each block are found for which all (w − min) · n / (max − min) are integers; then s = (max − min) / n and z = −min / s.
 */
import type { BlockBits, BlockRows } from "../shared/blocks.ts";

/** Values rounded to bfloat16 differ from a lattice by at most this share of the largest magnitude. */
const tolerance = 2 ** -7;
/** Largest tolerance in steps. */
const maxTolerance = 1 / 8;
/** Tolerance of an integer zero point, in steps. */
const integerTolerance = 1 / 16;
/** Fewer values fit any lattice by chance. */
const minWidth = 16;

/** Per block (rows × blocks): the scale s, the zero point z, which need not be an integer, and a bound of j, from 0 on. */
export interface BlockLattice {
  readonly scale: Float32Array;
  readonly zeroPoint: Float32Array;
  readonly largest: Uint8Array;
}

/** Returns the lattice of the blocks of `size` elements; undefined if a block has none. */
export function findLattice(
  values: Float32Array | Float64Array,
  { rows, width, areColumns }: BlockRows,
  { size, bits }: { readonly size: number; readonly bits: BlockBits },
): BlockLattice | undefined {
  if (Math.min(width, size) < minWidth) return undefined;
  const count = Math.ceil(width / size);
  const [nextRow, next] = areColumns ? [1, rows] : [width, 1];
  const length = rows * count;
  const lattice = {
    scale: new Float32Array(length),
    zeroPoint: new Float32Array(length),
    largest: new Uint8Array(length),
  };
  const numbers = new Float64Array(size);
  for (let block = 0; block < count; block++) {
    const part = numbers.subarray(0, Math.min(size, width - block * size));
    for (let row = 0; row < rows; row++) {
      const start = row * nextRow + block * size * next;
      let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (let index = 0; index < part.length; index++) {
        const value = values[start + index * next] ?? 0;
        part[index] = value;
        min = value < min ? value : min;
        max = value > max ? value : max;
      }
      // Equal values are one step from 0.
      if (min === max) [min, max] = [Math.min(min, 0), Math.max(max, 0)];
      const range = max - min;
      const steps = range === 0 ? 1 : findMinSteps(part, min, range, 2 ** bits - 1);
      if (steps === 0) return undefined;
      const index = row * count + block;
      lattice.scale[index] = range / steps;
      lattice.zeroPoint[index] = range === 0 ? 0 : (-min * steps) / range;
      lattice.largest[index] = range === 0 ? 0 : steps;
    }
  }
  return lattice;
}

function findMinSteps(numbers: Float64Array, min: number, range: number, maxSteps: number): number {
  for (let steps = 1; steps <= maxSteps; steps++) if (fits(numbers, min, range, steps)) return steps;
  return 0;
}

function fits(numbers: Float64Array, min: number, range: number, steps: number): boolean {
  const factor = steps / range;
  const stepTolerance = Math.min(maxTolerance, tolerance * factor * Math.max(-min, min + range));
  for (let index = 0; index < numbers.length; index++) {
    const position = ((numbers[index] ?? 0) - min) * factor;
    // NaN and infinity fail this comparison.
    if (!(Math.abs(position - Math.round(position)) <= stepTolerance)) return false;
  }
  return true;
}

/** Returns zero points with codes around 2ᵇ⁻¹, for which products and offsets are smallest: large ones cancel, but their errors do not. */
export const centeredZeroPoints = ({ zeroPoint, largest }: BlockLattice, bits: BlockBits): Float32Array =>
  zeroPoint.map((real, block) => {
    const shift = Math.round(2 ** (bits - 1) - real);
    return real + Math.max(0, Math.min(2 ** bits - 1 - (largest[block] ?? 0), shift));
  });

/** Returns integer zero points with which `bits` bits keep all values; undefined if there are none. */
export function integerZeroPoints(
  { zeroPoint, largest }: BlockLattice,
  { bits, symmetric }: { readonly bits: BlockBits; readonly symmetric: boolean },
): Uint8Array | undefined {
  const maxCode = 2 ** bits - 1;
  const integers = new Uint8Array(zeroPoint.length);
  for (const [block, real] of zeroPoint.entries()) {
    // The multiples of the scale in a block are lowest … lowest + largest.
    const lowest = -Math.round(real);
    const integer = symmetric ? 2 ** (bits - 1) : Math.min(maxCode, Math.max(0, -lowest));
    const highest = lowest + (largest[block] ?? 0) + integer;
    if (Math.abs(real + lowest) > integerTolerance || lowest + integer < 0 || highest > maxCode) return undefined;
    integers[block] = integer;
  }
  return integers;
}
