/**
 * Element types and tensors, spelled as onnxruntime spells them, so that a `Dense` can be fed to it without conversion.
 *
 * Types that JavaScript has no array for are held as their bits: float16 and bfloat16 in a Uint16Array, the float8 family in a Uint8Array,
 * complex numbers as (real, imaginary) pairs. Types below 8 bits are held packed, as the file holds them: low bits first
 * (`packed.ts` unpacks).
 */

export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  float8e4m3fn: Uint8Array;
  float8e4m3fnuz: Uint8Array;
  float8e5m2: Uint8Array;
  float8e5m2fnuz: Uint8Array;
  float8e8m0: Uint8Array;
  float4e2m1: Uint8Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  int4: Uint8Array;
  uint4: Uint8Array;
  int2: Uint8Array;
  uint2: Uint8Array;
  bool: Uint8Array;
  complex64: Float32Array;
  complex128: Float64Array;
  string: readonly string[];
}

export type DataType = keyof DataOf;

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
}
