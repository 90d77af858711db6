import { type Example, table } from "./define.examples.ts";

const logic = (op: string): readonly Example[] => table()`
  ${op} of equal shapes | (a: bool[batch, 3], b: bool[batch, 3]) y = ${op}(a, b)
  ${op} broadcasting | (a: bool[batch, 1], b: bool[3]) y = ${op}(a, b)
  ${op} of scalars | (a: bool[], b: bool[]) y = ${op}(a, b)
  ${op} of what is stored | () a: bool[2] = [true, false]; b: bool[] = true; y = ${op}(a, b)
`;

const bitwise = (op: string): readonly Example[] => table()`
  ${op} of equal shapes | (a: int32[batch, 3], b: int32[batch, 3]) y = ${op}(a, b)
  ${op} broadcasting | (a: uint8[batch, 1], b: uint8[3]) y = ${op}(a, b)
  ${op} of scalars | (a: int64[], b: int64[]) y = ${op}(a, b)
`;

const shift = "(a: uint8[batch, 3], b: uint8[batch, 3])";
const infinities = { feeds: { x: [Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY, 2] } };

export const logicExamples: readonly Example[] = [
  ...["And", "Or", "Xor"].flatMap(logic),
  ...table()`
    Not of a batch | (x: bool[batch, 3]) y = Not(x)
    Not of a scalar | (x: bool[]) y = Not(x)
    Not of nothing | (x: bool[0, 3]) y = Not(x)
    Not of what is stored | () s: bool[2] = [true, false]; y = Not(s)
    IsNaN of a batch | (x: float32[2, 2]) y = IsNaN(x) | feeds x: 0, NaN, 1, -1
    IsInf of a named size | (x: float32[batch, 3]) y = IsInf(x)
    IsNaN of a named size | (x: float32[batch, 3]) y = IsNaN(x)
    IsNaN of a scalar | (x: float32[]) y = IsNaN(x)
    BitwiseNot of a batch | (x: int32[batch, 3]) y = BitwiseNot(x)
    BitwiseNot of a scalar | (x: int64[]) y = BitwiseNot(x)
    BitwiseNot of nothing | (x: uint8[0, 3]) y = BitwiseNot(x)
    BitShift to the left | ${shift} y = BitShift(a, b) {direction="LEFT"}
    BitShift to the right | ${shift} y = BitShift(a, b) {direction="RIGHT"}
    BitShift by one number | (a: uint64[batch, 3], b: uint64[]) y = BitShift(a, b) {direction="LEFT"}
  `,
  ...table(infinities)`
    IsInf of both signs | (x: float32[4]) y = IsInf(x)
    IsInf of negative ones | opset 10 (x: float32[4]) y = IsInf(x) {detect_positive=0}
    IsInf of positive ones | (x: float32[4]) y = IsInf(x) {detect_negative=0}
  `,
  ...["BitwiseAnd", "BitwiseOr", "BitwiseXor"].flatMap(bitwise),
];
