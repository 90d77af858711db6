/**
 * Element types and tensors, spelled as onnxruntime spells them, so that a `Dense` can be fed to it without conversion.
 *
 * Types that JavaScript has no array for are held as their bits: float16 and bfloat16 in a Uint16Array, the float8 family in a Uint8Array,
 * complex numbers as (real, imaginary) pairs. Types below 8 bits are held packed, as the file holds them: low bits first
 * (`packed.ts` unpacks).
 */

/** TensorProto.DataType, the bits of one element, and the array that holds elements. Strings, number 8, have neither of the latter. */
const elementTypes = {
  float32: [1, 32, Float32Array],
  uint8: [2, 8, Uint8Array],
  int8: [3, 8, Int8Array],
  uint16: [4, 16, Uint16Array],
  int16: [5, 16, Int16Array],
  int32: [6, 32, Int32Array],
  int64: [7, 64, BigInt64Array],
  bool: [9, 8, Uint8Array],
  float16: [10, 16, Uint16Array],
  float64: [11, 64, Float64Array],
  uint32: [12, 32, Uint32Array],
  uint64: [13, 64, BigUint64Array],
  complex64: [14, 64, Float32Array],
  complex128: [15, 128, Float64Array],
  bfloat16: [16, 16, Uint16Array],
  float8e4m3fn: [17, 8, Uint8Array],
  float8e4m3fnuz: [18, 8, Uint8Array],
  float8e5m2: [19, 8, Uint8Array],
  float8e5m2fnuz: [20, 8, Uint8Array],
  uint4: [21, 4, Uint8Array],
  int4: [22, 4, Uint8Array],
  float4e2m1: [23, 4, Uint8Array],
  float8e8m0: [24, 8, Uint8Array],
  uint2: [25, 2, Uint8Array],
  int2: [26, 2, Uint8Array],
} as const;

type FixedType = keyof typeof elementTypes;

export type DataOf = { readonly string: readonly string[] } & {
  readonly [T in FixedType]: (typeof elementTypes)[T][2]["prototype"];
};

export type DataType = FixedType | "string";

const fixedTypes = Object.keys(elementTypes) as FixedType[];

/** Bits of one element as stored; strings have no fixed size. */
export const bitsOf = Object.fromEntries(fixedTypes.map((type) => [type, elementTypes[type][1]])) as Readonly<
  Record<FixedType, number>
>;

/** The numbers by which ONNX names element types, in files and in attributes. */
export const typeCodes = Object.fromEntries([
  ...fixedTypes.map((type) => [type, elementTypes[type][0]]),
  ["string", 8],
]) as Readonly<Record<DataType, number>>;

const typesByCode = new Map(Object.entries(typeCodes).map(([type, code]) => [code, type as DataType]));

export function typeOfCode(code: number): DataType | undefined {
  return typesByCode.get(code);
}

export function arrayOf<T extends FixedType>(type: T): (typeof elementTypes)[T][2] {
  return elementTypes[type][2];
}

/** A tensor whose elements are in hand: row-major `data` of `dims`. */
export type Dense<T extends DataType = DataType> = {
  readonly [K in T]: { readonly type: K; readonly dims: readonly number[]; readonly data: DataOf[K] };
}[T];

/** Named tensors: what goes into a graph, or comes out of it. */
export type Batch = Readonly<Record<string, Dense>>;

/** Random access to bytes: a file, a Blob, an HTTP resource, memory. */
export interface ByteSource {
  readonly size: number;
  /** What to call it in messages: a path, a URL. */
  readonly name: string;
  /**
   * The bytes from `start` to before `end`. The result may share memory with the source: do not write into it.
   * @throws PithError E_SOURCE_CHANGED if it is another file now, E_FILE if it cannot be read.
   */
  read(start: number, end: number): Promise<Uint8Array>;
  /** Fills `bytes` from `start` on at once, where that is faster; the next `read` says whether it was another file then. */
  fill?(bytes: Uint8Array, start: number): void;
}

/** Where the raw little-endian bytes of a tensor lie, if they lie somewhere as such. */
export interface StoredBytes {
  readonly source: ByteSource;
  readonly start: number;
  readonly end: number;
}

/** Immutable storage of a weight or constant: in memory, or still in its file. */
export interface Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  /** Size of the elements as stored, in bytes; for strings the sum of their UTF-8 lengths. */
  readonly bytes: number;
  /** The elements of a small tensor (at most 8 KiB), at hand so that rules need not wait. */
  readonly small: Dense | undefined;
  /** Where the elements can be copied from without being decoded. */
  readonly stored: StoredBytes | undefined;
  /** All elements. Treat the result as read-only: it may be shared. */
  read(): Promise<Dense>;
  /** The bytes of the same in blocks of whole elements, each overwritten by the next, where they need not be computed all at once. */
  blocks?(): AsyncIterable<Uint8Array>;
}
