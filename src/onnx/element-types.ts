/** TensorProto.DataType: the numbers that stand for element types, and the field that holds elements which are not raw bytes. */
import type { DataType } from "../tensor/types.ts";
import { tensorFields } from "./schema.ts";

const { floatData, int32Data, int64Data, doubleData, uint64Data, stringData } = tensorFields;

interface ElementType {
  readonly code: number;
  /** The field for typed data. float16 and smaller types stand as their bits in int32; types below a byte stay packed. */
  readonly field: number;
}

export const elementTypes: Readonly<Record<DataType, ElementType>> = {
  float32: { code: 1, field: floatData },
  uint8: { code: 2, field: int32Data },
  int8: { code: 3, field: int32Data },
  uint16: { code: 4, field: int32Data },
  int16: { code: 5, field: int32Data },
  int32: { code: 6, field: int32Data },
  int64: { code: 7, field: int64Data },
  string: { code: 8, field: stringData },
  bool: { code: 9, field: int32Data },
  float16: { code: 10, field: int32Data },
  float64: { code: 11, field: doubleData },
  uint32: { code: 12, field: uint64Data },
  uint64: { code: 13, field: uint64Data },
  complex64: { code: 14, field: floatData },
  complex128: { code: 15, field: doubleData },
  bfloat16: { code: 16, field: int32Data },
  float8e4m3fn: { code: 17, field: int32Data },
  float8e4m3fnuz: { code: 18, field: int32Data },
  float8e5m2: { code: 19, field: int32Data },
  float8e5m2fnuz: { code: 20, field: int32Data },
  uint4: { code: 21, field: int32Data },
  int4: { code: 22, field: int32Data },
  float4e2m1: { code: 23, field: int32Data },
  float8e8m0: { code: 24, field: int32Data },
  uint2: { code: 25, field: int32Data },
  int2: { code: 26, field: int32Data },
};

const byCode = new Map<number, DataType>(
  (Object.keys(elementTypes) as DataType[]).map((type) => [elementTypes[type].code, type]),
);

/** The element type behind a number of the file; undefined if there is none. */
export function elementTypeOf(code: number): DataType | undefined {
  return byCode.get(code);
}
