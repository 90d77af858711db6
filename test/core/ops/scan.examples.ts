import { type Example, table } from "./define.examples.ts";

const cases = (op: string, opset: number): readonly Example[] => [
  ...table({ opset })`
    ${op} along rows | (x: float32[batch, 4]) axis: int64[] = 1; y = ${op}(x, axis)
    ${op} backwards, exclusive, along a negative axis |
      (x: float32[batch, 3, 2]) axis: int64[] = -2; y = ${op}(x, axis) {exclusive=1, reverse=1}
    ${op} along an axis of one | (x: float32[batch, 1]) axis: int64[] = 1; y = ${op}(x, axis)
    ${op} exclusive | (x: float32[4]) axis: int32[] = 0; y = ${op}(x, axis) {exclusive=1}
    ${op} of a stored shape | () s: int64[3] = [2, 3, 4]; axis: int64[] = 0; y = ${op}(s, axis)
    ${op} of a stored shape, backwards | () s: int64[3] = [2, 3, 4]; axis: int64[] = 0; y = ${op}(s, axis) {reverse=1}
  `,
  ...table({ opset, feeds: { axis: [1] }, misses: { axes: "computed at run time" } })`
    ${op} along an axis computed at run time | (x: float32[batch, 4], axis: int64[]) y = ${op}(x, axis)
  `,
];

export const scanExamples: readonly Example[] = [
  ...cases("CumSum", 14),
  ...table()`
    CumSum of stored integers that wraps around |
      opset 14 () s: int32[2] = [2147483647, 5]; axis: int32[] = 0; y = CumSum(s, axis)
  `,
];
