/**
 * Quantization in blocks: each stretch of `size` numbers of a row has a scale, and if asked a zero point, of its own, as ONNX Runtime's quantizer
 * of `MatMulNBits` has them, number by number.
 *
 *     symmetric    s = -m / 2ᵇ⁻¹ with the m of largest magnitude, z = 2ᵇ⁻¹: m has code 0, and s may be negative
 *     asymmetric   s = (max - min) / (2ᵇ - 1) over a range that contains 0, z = round(-min / s)
 *
 * q = clamp(round(w · (1 / s) + z)): unlike `QuantizeLinear` with a product, and with halves rounded away from 0. A block of zeros has s = 0.
 */
import type { ScaleAndZeroPoint } from "./quantize.ts";

/** Bits of a code; there are no other widths that divide a byte. */
export type BlockBits = 2 | 4 | 8;

export interface BlockOptions {
  readonly bits: BlockBits;
  readonly symmetric: boolean;
}

/** Scale and zero point for a block of which smallest and largest number are given. */
export function blockScale(min: number, max: number, { bits, symmetric }: BlockOptions): ScaleAndZeroPoint {
  const middle = 2 ** (bits - 1);
  if (symmetric)
    return { scale: Math.fround(-(Math.abs(max) > Math.abs(min) ? max : min) / middle), zeroPoint: middle };
  const [bottom, top] = [Math.min(min, 0), Math.max(max, 0)];
  const most = 2 ** bits - 1;
  const scale = Math.fround(Math.fround(top - bottom) / most);
  const zeroPoint = scale === 0 ? 0 : roundHalfAway(Math.fround(-bottom / scale));
  return { scale, zeroPoint: Math.min(most, Math.max(0, zeroPoint)) };
}

/** How the rows lie that are cut into blocks: one after the other, or each as a column, so that a row of the tensor holds one number of each. */
export interface BlockRows {
  readonly rows: number;
  readonly width: number;
  readonly turned: boolean;
}

/** Smallest and largest number of each block: rows × blocks. */
export function blockRanges(
  values: Float32Array,
  { rows, width, turned }: BlockRows,
  size: number,
): { readonly min: Float32Array; readonly max: Float32Array } {
  const count = Math.ceil(width / size);
  const [min, max] = [new Float32Array(rows * count), new Float32Array(rows * count)];
  const [low, high] = [new Float32Array(turned ? rows : 1), new Float32Array(turned ? rows : 1)];
  for (let block = 0; block < count; block++) {
    const [from, to] = [block * size, Math.min(width, (block + 1) * size)];
    if (turned) {
      low.fill(Number.POSITIVE_INFINITY);
      high.fill(Number.NEGATIVE_INFINITY);
      for (let start = from * rows; start < to * rows; start += rows)
        for (let row = 0; row < rows; row++) {
          const value = values[start + row] ?? 0;
          if (value < (low[row] ?? 0)) low[row] = value;
          if (value > (high[row] ?? 0)) high[row] = value;
        }
      for (let row = 0; row < rows; row++) {
        min[row * count + block] = low[row] ?? 0;
        max[row * count + block] = high[row] ?? 0;
      }
    } else
      for (let row = 0; row < rows; row++) {
        let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
        for (let at = row * width + from; at < row * width + to; at++) {
          const value = values[at] ?? 0;
          if (value < least) least = value;
          if (value > most) most = value;
        }
        min[row * count + block] = least;
        max[row * count + block] = most;
      }
  }
  return { min, max };
}

/** Columns whose codes are written together: as many lines of memory stay in the cache. */
const tile = 256;

/** The codes of rows, each filled up to whole blocks with the code of 0; scales and zero points are rows × blocks. */
export function blockCodes(
  values: Float32Array,
  { rows, width, turned }: BlockRows,
  { size, bits, scale, zeroPoint }: { readonly size: number; readonly bits: BlockBits } & BlockScales,
): Uint8Array {
  const count = Math.ceil(width / size);
  const whole = count * size;
  const most = 2 ** bits - 1;
  const codes = new Uint8Array(rows * whole);
  const inverse = Float32Array.from(scale, (one) => (one === 0 ? 0 : 1 / one));
  const [factors, zeros] = [new Float32Array(tile), new Float32Array(tile)];
  for (let first = 0; first < rows; first += tile) {
    const together = Math.min(tile, rows - first);
    for (let block = 0; block < count; block++) {
      const [from, end] = [block * size, Math.min(width, (block + 1) * size)];
      for (let row = 0; row < together; row++) {
        const own = (first + row) * count + block;
        factors[row] = inverse[own] ?? 0;
        zeros[row] = zeroPoint[own] ?? 0;
      }
      if (turned)
        for (let column = from; column < end; column++)
          for (
            let row = 0, at = column * rows + first, to = first * whole + column;
            row < together;
            row++, at++, to += whole
          )
            codes[to] = codeOf(values[at] ?? 0, factors[row] ?? 0, zeros[row] ?? 0, most);
      else
        for (let row = 0; row < together; row++) {
          const [factor, zero] = [factors[row] ?? 0, zeros[row] ?? 0];
          for (let column = from, at = (first + row) * width, to = (first + row) * whole; column < end; column++)
            codes[to + column] = codeOf(values[at + column] ?? 0, factor, zero, most);
        }
    }
  }
  if (whole > width)
    for (let row = 0; row < rows; row++)
      codes.fill(zeroPoint[row * count + count - 1] ?? 0, row * whole + width, (row + 1) * whole);
  return codes;
}

/** Halves go away from 0, below which there is no code. */
function codeOf(value: number, inverse: number, zero: number, most: number): number {
  const code = Math.fround(Math.fround(value * inverse) + zero);
  return code >= most ? most : code > 0 ? (code + 0.5) | 0 : 0;
}

export interface BlockScales {
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

export interface PackedRows {
  /** Codes in a row, and in a block. */
  readonly width: number;
  readonly size: number;
  readonly bits: BlockBits;
  /** The code behind the last one of a row. */
  readonly fill?: number;
}

/**
 * Codes of rows as bytes, low bits first, each row filled up to whole blocks.
 * @returns rows × ⌈width / size⌉ blocks of size · bits / 8 bytes.
 */
export function packRows(codes: ArrayLike<number>, { width, size, bits, fill = 0 }: PackedRows): Uint8Array {
  const each = 8 / bits;
  const rows = width === 0 ? 0 : codes.length / width;
  const whole = Math.ceil(width / size) * size;
  const stored = whole / each;
  const packed = new Uint8Array(rows * stored);
  for (let row = 0; row < rows; row++)
    for (let byte = 0; byte < stored; byte++) {
      let bundle = 0;
      for (let part = each - 1; part >= 0; part--) {
        const column = byte * each + part;
        bundle = (bundle << bits) | (column < width ? (codes[row * width + column] ?? 0) : fill);
      }
      packed[row * stored + byte] = bundle;
    }
  return packed;
}

/** As C's `roundf`. */
function roundHalfAway(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
}
