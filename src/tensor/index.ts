/** Element types, dimensions, storage, and the conversions between them. */
export {
  type FloatType,
  fromNumbers,
  integerRange,
  isFloat,
  type NumericType,
  toFloat32,
  toFloat64,
  toInt64,
  toNumbers,
} from "./convert.ts";
export { bitsOf, bytesFor, bytesOf, float32, inMemory, int64, smallBytes, viewBytes, zeros } from "./dense.ts";
export {
  addDims,
  type Dim,
  dimsText,
  dimText,
  divideDims,
  elementCount,
  fixedDims,
  isSymbolic,
  multiplyDims,
  type Symbolic,
  sameDims,
  stridesOf,
  symbol,
} from "./dims.ts";
export {
  decodeFloats,
  encodeFloats,
  fromBfloat16,
  fromFloat16,
  largestFloat,
  type SmallFloat,
  toBfloat16,
  toFloat16,
} from "./half.ts";
export { isPacked, type PackedType, pack, unpack } from "./packed.ts";
export { type Random, random } from "./random.ts";
export { roundHalfEven } from "./round.ts";
export type { Batch, ByteSource, DataOf, DataType, Dense, StoredBytes, Tensor } from "./types.ts";
