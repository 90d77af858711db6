/**
 * Packs palette indices into bytes, lowest bits first. Widths other than 1, 2, 4 and 8 bits are split into planes of these
 * widths, which follow each other in a row: 3 bits are the upper 2 bits, then the lowest bit.
 */
import { type Dense, type Emit, fromNumbers, int64, typeCodes, type Value } from "#ir";

export const digitsOpset = 13;

/** Layout of a tensor: rows of bytes with consecutive planes, the highest bits first. */
export interface Digits {
  readonly planes: readonly Plane[];
  /** Number of indices per row. */
  readonly width: number;
  /** [rows, bytes per row]. */
  readonly dims: readonly number[];
}

/** The bytes `from` to `to` of a row: they contain `bits` bits of each index, from bit `shift` on. */
interface Plane {
  readonly bits: number;
  readonly shift: number;
  readonly from: number;
  readonly to: number;
}

export function digitsOf(count: number, rows: number, bits: number): Digits {
  const width = count / rows;
  const planes = planesOf(bits, width);
  return { planes, width, dims: [rows, planes.at(-1)?.to ?? 0] };
}

function planesOf(bits: number, width: number): readonly Plane[] {
  const planes: Plane[] = [];
  let [shift, from] = [bits, 0];
  for (const planeBits of bits === 8 ? [8] : [4, 2, 1].filter((power) => (bits & power) !== 0)) {
    shift -= planeBits;
    const to = from + Math.ceil((width * planeBits) / 8);
    planes.push({ bits: planeBits, shift, from, to });
    from = to;
  }
  return planes;
}

export function packDigits(codes: ArrayLike<number>, { planes, width, dims }: Digits): Dense {
  const [rows = 0, length = 0] = dims;
  const data = new Uint8Array(rows * length);
  for (const { bits, shift, from } of planes)
    for (let index = 0; index < codes.length; index++) {
      const column = (index % width) * bits;
      const byte = Math.floor(index / width) * length + from + (column >> 3);
      data[byte] = (data[byte] ?? 0) | ((((codes[index] ?? 0) >> shift) & (2 ** bits - 1)) << (column & 7));
    }
  return { type: "uint8", dims, data };
}

export function numbersOf(
  emit: Emit,
  palette: Value,
  { planes, width }: Pick<Digits, "planes" | "width">,
  bytes: Value,
  dims: readonly number[] | Value,
): Value {
  const shape = "graph" in dims ? dims : emit.constant(int64([dims.length], dims), "dims");
  let codes: Value | undefined;
  for (const { bits, from, to } of planes) {
    const plane = planes.length === 1 ? bytes : emit.Slice([bytes, [from], [to], [-1]]);
    const digits = emit.Cast([emit.Reshape([unpackPlane(emit, plane, bits, width), shape])], { to: typeCodes.int32 });
    codes = codes === undefined ? digits : emit.Add([emit.Mul([codes, 2 ** bits]), digits]);
  }
  return codes === undefined ? palette : emit.Gather([palette, codes], { axis: 0 });
}

/** Unpacks bytes, low bits first: [rows, bytes] → [rows · width]. */
function unpackPlane(emit: Emit, bytes: Value, bits: number, width: number): Value {
  if (bits === 8) return bytes;
  const perByte = 8 / bits;
  const shifts = fromNumbers(
    "uint8",
    [perByte],
    Array.from({ length: perByte }, (_, index) => index * bits),
  );
  const shifted = emit.BitShift([emit.Unsqueeze([bytes, [-1]]), emit.constant(shifts, "shifts")], {
    direction: "RIGHT",
  });
  const digits = emit.Mod([shifted, emit.constant(fromNumbers("uint8", [], [2 ** bits]), "base")]);
  const paddedWidth = Math.ceil(width / perByte) * perByte;
  return paddedWidth === width ? digits : emit.Slice([emit.Reshape([digits, [-1, paddedWidth]]), [0], [width], [1]]);
}
