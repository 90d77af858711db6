/**
 * Block quantization with the rounding of ONNX Runtime's quantizer for `MatMulNBits`: scale s and zero point z per block, b bits:
 *      symmetric    s = −m / 2ᵇ⁻¹ with the element m of largest magnitude, z = 2ᵇ⁻¹; m becomes 0, s can be negative
 *      asymmetric   s = (max − min) / (2ᵇ − 1) over a range that contains 0, z = round(−min / s)
 * q = clamp(round(w · (1 / s) + z)): unlike `QuantizeLinear`, this multiplies by 1 / s and rounds halves away from 0. If all elements are
 * multiples of a step, and b bits suffice, they keep their values: s is then the step divided by a power of two.
 */
import type { ScaleAndZeroPoint } from "./affine-codes.ts";
import { commonSteps, subdivisionOf } from "./common-step.ts";

export type BlockBits = 2 | 4 | 8;

export interface BlockOptions {
  readonly bits: BlockBits;
  readonly symmetric: boolean;
}

export function blockScale(min: number, max: number, { bits, symmetric }: BlockOptions): ScaleAndZeroPoint {
  const scale = scaleOf(min, max, bits, symmetric);
  return { scale, zeroPoint: zeroPointOf(min, scale, bits, symmetric) };
}

function scaleOf(min: number, max: number, bits: BlockBits, symmetric: boolean): number {
  if (symmetric) return Math.fround(-(Math.abs(max) > Math.abs(min) ? max : min) / (1 << (bits - 1)));
  return Math.fround(Math.fround(Math.max(max, 0) - Math.min(min, 0)) / ((1 << bits) - 1));
}

function zeroPointOf(min: number, scale: number, bits: BlockBits, symmetric: boolean): number {
  if (symmetric) return 1 << (bits - 1);
  if (scale === 0) return 0;
  return Math.min((1 << bits) - 1, Math.floor(Math.fround(-Math.min(min, 0) / scale) + 0.5));
}

/** Returns a scale that represents all elements of a block exactly; 0 if none does, or if the default scale does too. */
function exactScaleOf(
  values: Float32Array,
  from: number,
  outer: number,
  stride: number,
  inner: number,
  min: number,
  max: number,
  bits: BlockBits,
  symmetric: boolean,
): number {
  const codes = symmetric ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  const largest = Math.max(-min, max);
  const steps = commonSteps(values, from, outer, stride, inner, largest, codes);
  if (steps === 0) return 0;
  const step = Math.fround(largest / steps);
  const [stepsBelow, stepsAbove] = [Math.round(-Math.min(min, 0) / step), Math.round(Math.max(max, 0) / step)];
  const usedSteps = symmetric ? steps : stepsBelow + stepsAbove;
  // The default scale has one more quantized value on the side of the element of largest magnitude.
  const parts = symmetric ? 1 << (bits - 1) : codes;
  const hasSpareCode = !symmetric || Math.min(stepsBelow, stepsAbove) < steps;
  if (usedSteps > codes || (parts % usedSteps === 0 && hasSpareCode)) return 0;
  return Math.fround(step / subdivisionOf(usedSteps, codes));
}

/** The rows that are divided into blocks: the rows of a row-major tensor, or, if `areColumns`, its columns. */
export interface BlockRows {
  readonly rows: number;
  readonly width: number;
  readonly areColumns: boolean;
}

/** Number of rows that are processed together, with `stretch` elements of each. */
const tile = 1024;
const stretch = 8;

/** Returns scales and zero points (rows × blocks), and the largest magnitude of the elements. */
export function blockScales(
  values: Float32Array,
  { rows, width, areColumns }: BlockRows,
  { size, bits, symmetric }: BlockOptions & { readonly size: number },
): BlockScales & { readonly largest: number } {
  const count = Math.ceil(width / size);
  const [scale, zeroPoint] = [new Float32Array(rows * count), new Uint8Array(rows * count)];
  const largest = new Int32Array(1);
  const [nextRow, next] = areColumns ? [1, rows] : [width, 1];
  const patterns = new Int32Array(values.buffer, values.byteOffset, values.length);
  const [largestBelowZero, largestAboveZero] = [new Int32Array(tile), new Int32Array(tile)];
  const [min, max] = [new Float32Array(largestBelowZero.buffer), new Float32Array(largestAboveZero.buffer)];
  for (let first = 0; first < rows; first += tile) {
    const tileRows = Math.min(tile, rows - first);
    for (let block = 0; block < count; block++) {
      largestBelowZero.fill(0);
      largestAboveZero.fill(0);
      const end = Math.min(width, (block + 1) * size);
      for (let column = block * size; column < end; column += stretch) {
        const steps = Math.min(stretch, end - column);
        const from = first * nextRow + column * next;
        widenRanges(largestBelowZero, largestAboveZero, patterns, from, tileRows, nextRow, steps, next);
      }
      for (let row = 0, index = first * count + block; row < tileRows; row++, index += count) {
        const rowMin = -(min[row] ?? 0);
        const rowMax = max[row] ?? 0;
        const start = (first + row) * nextRow + block * size * next;
        const width = end - block * size;
        const exactScale = areColumns
          ? exactScaleOf(values, start, width, next, 1, rowMin, rowMax, bits, symmetric)
          : exactScaleOf(values, start, 1, 1, width, rowMin, rowMax, bits, symmetric);
        scale[index] = exactScale === 0 ? scaleOf(rowMin, rowMax, bits, symmetric) : exactScale;
        zeroPoint[index] = zeroPointOf(rowMin, scale[index] ?? 0, bits, symmetric);
        largest[0] = Math.max(largest[0] ?? 0, largestBelowZero[row] ?? 0, largestAboveZero[row] ?? 0);
      }
    }
  }
  return { scale, zeroPoint, largest: new Float32Array(largest.buffer)[0] ?? 0 };
}

/** Compares float32 magnitudes as integers without branches. Avoids destructuring, which is slow until a loop is compiled. */
function widenRanges(
  largestBelowZero: Int32Array,
  largestAboveZero: Int32Array,
  patterns: Int32Array,
  from: number,
  rows: number,
  nextRow: number,
  steps: number,
  next: number,
): void {
  for (let row = 0, start = from; row < rows; row++, start += nextRow) {
    let maxBelow = largestBelowZero[row] ?? 0;
    let maxAbove = largestAboveZero[row] ?? 0;
    for (let step = 0, at = start; step < steps; step++, at += next) {
      const pattern = patterns[at] ?? 0;
      const sign = pattern >> 31;
      const excessBelow = ((pattern & sign & 0x7fff_ffff) - maxBelow) | 0;
      maxBelow = (maxBelow + (excessBelow & ~(excessBelow >> 31))) | 0;
      const excessAbove = ((pattern & ~sign) - maxAbove) | 0;
      maxAbove = (maxAbove + (excessAbove & ~(excessAbove >> 31))) | 0;
    }
    largestBelowZero[row] = maxBelow;
    largestAboveZero[row] = maxAbove;
  }
}

/** Returns quantized rows, packed as by `packRows`. Scales and zero points are rows × blocks. Each block must occupy a multiple of 4 bytes. */
export function blockCodes(
  values: Float32Array,
  { rows, width, areColumns }: BlockRows,
  { size, bits, scale, zeroPoint }: { readonly size: number; readonly bits: BlockBits } & BlockScales,
): Uint8Array {
  const count = Math.ceil(width / size);
  const [valuesPerWord, words] = [32 / bits, (size * bits) / 32];
  const packed = new Int32Array(rows * count * words);
  const [nextRow, next] = areColumns ? [1, rows] : [width, 1];
  const [factors, zeros] = [new Float32Array(tile), new Float32Array(tile)];
  for (let first = 0; first < rows; first += tile) {
    const tileRows = Math.min(tile, rows - first);
    for (let block = 0; block < count; block++) {
      for (let row = 0, index = first * count + block; row < tileRows; row++, index += count) {
        factors[row] = scale[index] === 0 ? 0 : 1 / (scale[index] ?? 0);
        zeros[row] = zeroPoint[index] ?? 0;
      }
      for (let word = 0, column = block * size; word < words; word++, column += valuesPerWord) {
        const from = first * nextRow + column * next;
        const bitCount = Math.max(0, Math.min(32, (width - column) * bits));
        const to = packed.subarray((first * count + block) * words + word);
        packWords(to, count * words, values, from, tileRows, nextRow, bitCount, next, bits, factors, zeros);
      }
    }
  }
  return new Uint8Array(packed.buffer);
}

/** Quantizes and packs the next 32 bits of each row. Comparing with −1/2 instead of 0 makes the branch predictable. */
function packWords(
  to: Int32Array,
  nextTo: number,
  values: Float32Array,
  from: number,
  rows: number,
  nextRow: number,
  bitCount: number,
  next: number,
  bits: number,
  factors: Float32Array,
  zeros: Float32Array,
): void {
  const maxCode = (1 << bits) - 1;
  for (let row = 0, start = from, target = 0; row < rows; row++, start += nextRow, target += nextTo) {
    const factor = factors[row] ?? 0;
    const zero = zeros[row] ?? 0;
    let word = 0;
    for (let shift = 0, at = start; shift < bitCount; shift += bits, at += next) {
      const code = Math.fround(Math.fround((values[at] ?? 0) * factor) + zero);
      word |= (code >= maxCode ? maxCode : code > -0.5 ? (code + 0.5) | 0 : 0) << shift;
    }
    for (let shift = bitCount; shift < 32; shift += bits) word |= zero << shift;
    to[target] = word;
  }
}

export interface BlockScales {
  readonly scale: Float32Array;
  /** Real numbers in blocks of a lattice (`block-lattice.ts`). */
  readonly zeroPoint: Uint8Array | Int32Array | Float32Array;
}

export interface RowPacking {
  readonly width: number;
  readonly block: number;
  readonly bits: BlockBits;
  /** Returns the quantized value that fills the last block of a row; 0 by default. */
  readonly fill?: (row: number) => number;
}

/** Packs rows into bytes, low bits first, in complete blocks. @returns rows × ⌈width / block⌉ blocks of block · bits / 8 bytes. */
export function packRows(codes: ArrayLike<number>, { width, block, bits, fill = () => 0 }: RowPacking): Uint8Array {
  const valuesPerByte = 8 / bits;
  const rows = width === 0 ? 0 : codes.length / width;
  const paddedWidth = Math.ceil(width / block) * block;
  const bytesPerRow = paddedWidth / valuesPerByte;
  const packed = new Uint8Array(rows * bytesPerRow);
  for (let row = 0; row < rows; row++)
    for (let byte = 0; byte < bytesPerRow; byte++) {
      let bundle = 0;
      for (let part = valuesPerByte - 1; part >= 0; part--) {
        const column = byte * valuesPerByte + part;
        bundle = (bundle << bits) | (column < width ? (codes[row * width + column] ?? 0) : fill(row));
      }
      packed[row * bytesPerRow + byte] = bundle;
    }
  return packed;
}
