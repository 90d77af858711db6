/**
 * Element types and tensors. Types have the names of onnxruntime, so that a `Dense` can be fed without conversion. 16-bit floats are stored as bits
 * in a Uint16Array, float8 in a Uint8Array, types below 8 bits packed as in the file (`packed.ts`), complex numbers as pairs of floats.
 */

/** The code in TensorProto.DataType, bits per element, and array class. */
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

export const bitsOf = Object.fromEntries(fixedTypes.map((type) => [type, elementTypes[type][1]])) as Readonly<
  Record<FixedType, number>
>;

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

/** A tensor with its elements in memory: `data` in row-major order, with dimensions `dims`. */
export type Dense<T extends DataType = DataType> = {
  readonly [K in T]: { readonly type: K; readonly dims: readonly number[]; readonly data: DataOf[K] };
}[T];

/** Tensors by name: inputs or outputs of a graph. */
export type Batch = Readonly<Record<string, Dense>>;

/** Random access to the bytes of a file, a Blob, an HTTP resource, or memory. */
export interface ByteSource {
  readonly size: number;
  /** A path or URL, for messages. */
  readonly name: string;
  /** Reads the bytes [start, end), perhaps in shared memory. @throws PithError E_SOURCE_CHANGED, E_FILE */
  read(start: number, end: number): Promise<Uint8Array>;
  /** Fills `bytes` synchronously with data from offset `start` on, if this is faster than `read`. Does not detect a changed file. */
  fill?(bytes: Uint8Array, start: number): void;
}

/** The location of a tensor's raw little-endian bytes. */
export interface StoredBytes {
  readonly source: ByteSource;
  readonly start: number;
  readonly end: number;
}

/** The immutable elements of a weight or constant, in memory or in a file. */
export interface Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  /** The stored size of the elements; for strings the sum of their UTF-8 lengths. */
  readonly bytes: number;
  /** The elements, if they have at most 8 KiB. */
  readonly small: Dense | undefined;
  /** The location of the elements in a file, from which they can be copied. */
  readonly stored: StoredBytes | undefined;
  /** Reads all elements. The result must not be changed. */
  read(): Promise<Dense>;
  /** Yields the bytes in blocks of complete elements. A block can overwrite the memory of the previous block. */
  blocks?(): AsyncIterable<Uint8Array>;
}
