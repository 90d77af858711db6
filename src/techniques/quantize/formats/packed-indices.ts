/**
 * Stores palette indices of 1 to 8 bits as bytes, and writes the nodes that unpack them. The first index is in the lowest bits of the first byte:
 *
 *     indices of 4 bits  [1, 2, 3, 4]  →  bytes [0x21, 0x43]
 *
 * Indices of 3, 5, 6 or 7 bits are split into planes of 4, 2 or 1 bits, stored one after the other, the upper bits first.
 */
import { type Dense, type Emit, fromNumbers, int64, typeCodes, type Value } from "#ir";

/** Opset from which the operators that unpack bytes have the form that is written here. */
export const packingOpset = 13;

export interface PackedLayout {
  readonly planes: readonly Plane[];
  readonly width: number;
  /** [rows, bytes per row]. */
  readonly dims: readonly number[];
}

/** The bytes `from` to `to` of a row, which contain the bits `shift` to `shift + bits` of each index. */
interface Plane {
  readonly bits: number;
  readonly shift: number;
  readonly from: number;
  readonly to: number;
}

/** @param count number of indices in all rows. */
export function packedLayout(count: number, rows: number, bits: number): PackedLayout {
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

export function packIndices(indices: ArrayLike<number>, { planes, width, dims }: PackedLayout): Dense {
  const [rows = 0, length = 0] = dims;
  const data = new Uint8Array(rows * length);
  for (const { bits, shift, from } of planes)
    for (let position = 0; position < indices.length; position++) {
      const firstBit = (position % width) * bits;
      const byte = Math.floor(position / width) * length + from + (firstBit >> 3);
      data[byte] = (data[byte] ?? 0) | ((((indices[position] ?? 0) >> shift) & (2 ** bits - 1)) << (firstBit & 7));
    }
  return { type: "uint8", dims, data };
}

/** Writes palette[unpacked indices] as nodes. @param dims dimensions of the result. */
export function lookUpPacked(
  emit: Emit,
  palette: Value,
  { planes, width }: Pick<PackedLayout, "planes" | "width">,
  bytes: Value,
  dims: readonly number[] | Value,
): Value {
  const shape = "graph" in dims ? dims : emit.constant(int64([dims.length], dims), "dims");
  let indices: Value | undefined;
  for (const { bits, from, to } of planes) {
    const plane = planes.length === 1 ? bytes : emit.Slice([bytes, [from], [to], [-1]]);
    const digits = emit.Cast([emit.Reshape([unpackPlane(emit, plane, bits, width), shape])], { to: typeCodes.int32 });
    indices = indices === undefined ? digits : emit.Add([emit.Mul([indices, 2 ** bits]), digits]);
  }
  return indices === undefined ? palette : emit.Gather([palette, indices], { axis: 0 });
}

/** Unpacks [rows, bytes] to rows · width indices, low bits first. */
function unpackPlane(emit: Emit, bytes: Value, bits: number, width: number): Value {
  if (bits === 8) return bytes;
  const perByte = 8 / bits;
  const shifts = fromNumbers(
    "uint8",
    [perByte],
    Array.from({ length: perByte }, (_, index) => index * bits),
  );
  const shiftedBytes = emit.BitShift([emit.Unsqueeze([bytes, [-1]]), emit.constant(shifts, "shifts")], {
    direction: "RIGHT",
  });
  const digits = emit.Mod([shiftedBytes, emit.constant(fromNumbers("uint8", [], [2 ** bits]), "base")]);
  const paddedWidth = Math.ceil(width / perByte) * perByte;
  return paddedWidth === width ? digits : emit.Slice([emit.Reshape([digits, [-1, paddedWidth]]), [0], [width], [1]]);
}
