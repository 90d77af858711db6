/**
 * Encodes and decodes floats of 16, 8 and 4 bits, with m mantissa bits and smallest normal exponent e₀. Numbers with exponent e are multiples of
 * 2^(max(e, e₀) - m). Encoding divides the double by this power of two, rounds half to even, and adds (max(e, e₀) - e₀) · 2^m. The hidden bit, and
 * the overflow of a mantissa that is rounded up, thereby add to the exponent bits.
 */
import { getOrAdd } from "./get-or-add.ts";
import { bitsOf, type DataOf, type DataType } from "./types.ts";

interface Format {
  readonly mantissa: number;
  /** The smallest exponent of normal numbers. */
  readonly minExponent: number;
  readonly largest: number;
  readonly infinity?: number;
  /** Bits of NaN; those of negative zero in formats that end with "uz". */
  readonly nan?: number;
}

// Sources: IEEE 754 (binary16), the ONNX pages "Float stored in 8 bits" and "Float stored in 4 bits".
const formats = {
  float16: { mantissa: 10, minExponent: -14, largest: 0x7bff, infinity: 0x7c00, nan: 0x7e00 },
  bfloat16: { mantissa: 7, minExponent: -126, largest: 0x7f7f, infinity: 0x7f80, nan: 0x7fc0 },
  float8e4m3fn: { mantissa: 3, minExponent: -6, largest: 0x7e, nan: 0x7f },
  float8e4m3fnuz: { mantissa: 3, minExponent: -7, largest: 0x7f, nan: 0x80 },
  float8e5m2: { mantissa: 2, minExponent: -14, largest: 0x7b, infinity: 0x7c, nan: 0x7f },
  float8e5m2fnuz: { mantissa: 2, minExponent: -15, largest: 0x7f, nan: 0x80 },
  float4e2m1: { mantissa: 1, minExponent: 0, largest: 0x7 },
} as const satisfies Readonly<Record<string, Format>>;

type SignedFloat = keyof typeof formats;

/** Floats with at most 16 bits, which are stored as bits. */
export type SmallFloat = SignedFloat | "float8e8m0";
export const isSmallFloat = <T extends DataType>(type: T): type is T & SmallFloat =>
  type in formats || type === "float8e8m0";

/**
 * Encodes numbers as bits of a small float, rounded once, half to even. Each array element contains one float.
 * @param saturate Replaces overflow by the largest finite number, as ONNX's Cast does for 8-bit floats by default.
 */
export function encodeFloats<T extends SignedFloat>(
  type: T,
  values: ArrayLike<number>,
  { saturate = !type.endsWith("16") }: { readonly saturate?: boolean } = {},
): DataOf[T] {
  const format: Format = formats[type];
  const codes = new (type.endsWith("16") ? Uint16Array : Uint8Array)(values.length);
  const { mantissa, minExponent, largest } = format;
  const sign = signOf(type);
  const nan = format.nan ?? largest;
  const overflow = saturate || format.nan === undefined ? largest : (format.infinity ?? nan);
  const scales = scalesOf(type);
  const words = type === "float16" && values instanceof Float32Array ? wordsOf(values) : undefined;
  for (let index = 0; index < values.length; index++) {
    const word = words?.[index] ?? 0;
    const magnitude = word & 0x7fffffff;
    // Normal float16 numbers need integers only: the exponent's bias changes by 112, and 13 bits are rounded half to even.
    if (magnitude >= 0x38800000 && magnitude < 0x477fe000) {
      codes[index] = ((word >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
      continue;
    }
    const value = values[index] ?? 0;
    double[0] = value;
    const high = doubleWords[highWord] ?? 0;
    const exponent = ((high >>> 20) & 0x7ff) - 1023;
    if (Number.isNaN(value)) {
      codes[index] = nan;
      continue;
    }
    const step = exponent > minExponent ? exponent - minExponent : 0;
    let code = overflow;
    if (step < scales.length) {
      // Adding and subtracting 2^52 rounds half to even.
      const scaledValue = Math.abs(value) * (scales[step] ?? 0);
      const finiteCode = step * (1 << mantissa) + (scaledValue + twoTo52 - twoTo52);
      if (finiteCode <= largest) code = finiteCode;
    }
    if (high < 0) code = code !== 0 || format.nan !== sign ? code | sign : 0;
    codes[index] = code;
  }
  return codes as DataOf[T];
}

/** Decodes the bits of small floats, one float per array element. */
export function decodeFloats(type: SmallFloat, codes: ArrayLike<number>): Float32Array {
  const table = getOrAdd(valueTables, type, () =>
    type === "float8e8m0" ? exponentTable() : floatTable(formats[type], signOf(type)),
  );
  const values = new Float32Array(codes.length);
  for (let index = 0; index < values.length; index++) values[index] = table[codes[index] ?? 0] ?? Number.NaN;
  return values;
}

const signOf = (type: SmallFloat): number => 1 << (bitsOf[type] - 1);

export const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Int32Array =>
  new Int32Array(buffer, byteOffset, length);

const twoTo52 = 2 ** 52;
const double = new Float64Array(1);
const doubleWords = new Int32Array(double.buffer);
const highWord = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;

/** Returns 2^(mantissa - exponent) for each exponent, from the lowest on: factors that scale numbers to units in the last place. */
function scalesOf(type: SignedFloat): Float64Array {
  const { mantissa, minExponent, largest } = formats[type];
  const length = (largest >> mantissa) + 1;
  return getOrAdd(scaleTables, type, () =>
    Float64Array.from({ length }, (_, step) => 2 ** (mantissa - minExponent - step)),
  );
}

const scaleTables = new Map<SmallFloat, Float64Array>();
const valueTables = new Map<SmallFloat, Float32Array>();

/** float8e8m0 has neither sign nor mantissa: the byte b represents 2^(b - 127), and 255 is NaN. */
function exponentTable(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
}

function floatTable(format: Format, sign: number): Float32Array {
  return Float32Array.from({ length: 2 * sign }, (_, code) => {
    const magnitude = code & (sign - 1);
    if (code === format.nan) return Number.NaN;
    const field = magnitude >> format.mantissa;
    const fraction = magnitude & ((1 << format.mantissa) - 1);
    const value =
      magnitude === format.infinity
        ? Number.POSITIVE_INFINITY
        : magnitude > format.largest
          ? Number.NaN
          : field === 0
            ? fraction * 2 ** (format.minExponent - format.mantissa)
            : (fraction + 2 ** format.mantissa) * 2 ** (field - 1 + format.minExponent - format.mantissa);
    return code >= sign ? -value : value;
  });
}

/** Returns whether a stored number stands for infinity, such as -1e9 in a mask, and must be clamped for float16. */
export const isInfiniteInHalf = (number: number, _?: number, all?: ArrayLike<number>): boolean =>
  Math.abs(number) >= 1e9 || (number < -65_504 && all?.length === 1);

/** The sum of two clamped numbers is finite in float16. */
export const halfClampValue = 32_752;

export function clampAllToHalf(numbers: Float32Array | Float64Array): Float32Array | Float64Array {
  let largest = 0;
  for (let index = 0; index < numbers.length; index++) largest = Math.max(largest, Math.abs(numbers[index] || 0));
  return largest < 1e9 && numbers.length !== 1 ? numbers : numbers.map(clampToHalf);
}

export const clampToHalf = (number: number, _: number, all: ArrayLike<number>): number =>
  Number.isFinite(number) && isInfiniteInHalf(number, 0, all) ? Math.sign(number) * halfClampValue : number;
