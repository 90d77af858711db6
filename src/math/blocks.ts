/**
 * Quantization in blocks: each stretch of `size` numbers of a row has a scale, and if asked a zero point, of its own, as ONNX Runtime's quantizer
 * of `MatMulNBits` has them, number by number.
 *
 *     symmetric    s = -m / 2ᵇ⁻¹ with the m of largest magnitude, z = 2ᵇ⁻¹: m has code 0, and s may be negative
 *     asymmetric   s = (max - min) / (2ᵇ - 1) over a range that contains 0, z = round(-min / s)
 *
 * q = clamp(round(w · (1 / s) + z)): unlike `QuantizeLinear` with a product, and with halves rounded away from 0. A block of zeros has s = 0.
 */
import type { Codes, ScaleAndZeroPoint } from "./quantize.ts";

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

/** The codes of numbers from one index to another, at the same places. */
export function blockCodes(
  values: ArrayLike<number>,
  codes: Codes,
  [from, to]: readonly [from: number, to: number],
  { scale, zeroPoint }: ScaleAndZeroPoint,
  bits: BlockBits,
): void {
  const most = 2 ** bits - 1;
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  for (let at = from; at < to; at++) {
    const code = roundHalfAway(Math.fround(Math.fround((values[at] ?? 0) * inverse) + zeroPoint));
    codes[at] = Math.min(most, Math.max(0, code));
  }
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
    for (let column = 0; column < whole; column++) {
      const at = row * stored + Math.floor(column / each);
      const code = column < width ? (codes[row * width + column] ?? 0) : fill;
      packed[at] = (packed[at] ?? 0) | (code << ((column % each) * bits));
    }
  return packed;
}

/** As C's `roundf`. */
function roundHalfAway(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5);
}
