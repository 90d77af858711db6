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
export { bytesFor, bytesOf, float32, inMemory, int64, smallBytes, viewBytes, zeros } from "./dense.ts";
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
  largestFloat,
  type SmallFloat,
} from "./half.ts";
export { isPacked, type PackedType, pack, unpack } from "./packed.ts";
export { type Random, random } from "./random.ts";
export { roundHalfEven } from "./round.ts";
export {
  type Batch,
  type ByteSource,
  bitsOf,
  type DataOf,
  type DataType,
  type Dense,
  type StoredBytes,
  type Tensor,
} from "./types.ts";
