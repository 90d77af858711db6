/** Running sums and products: along any axis, backwards, without the own element, of a stored shape. */
import { type Example, example } from "./define.examples.ts";

const cases = (op: string, opset: number): readonly Example[] => [
  example(`${op} along rows`, `(x: float32[batch, 4]) axis: int64[] = 1; y = ${op}(x, axis)`, { opset }),
  example(
    `${op} backwards, exclusive, along a negative axis`,
    `(x: float32[batch, 3, 2]) axis: int64[] = -2; y = ${op}(x, axis) {exclusive=1, reverse=1}`,
    { opset },
  ),
  example(`${op} along an axis of one`, `(x: float32[batch, 1]) axis: int64[] = 1; y = ${op}(x, axis)`, { opset }),
  example(`${op} exclusive`, `(x: float32[4]) axis: int32[] = 0; y = ${op}(x, axis) {exclusive=1}`, { opset }),
  example(`${op} of a stored shape`, `() s: int64[3] = [2, 3, 4]; axis: int64[] = 0; y = ${op}(s, axis)`, { opset }),
  example(
    `${op} of a stored shape, backwards`,
    `() s: int64[3] = [2, 3, 4]; axis: int64[] = 0; y = ${op}(s, axis) {reverse=1}`,
    { opset },
  ),
  example(`${op} along an axis computed at run time`, `(x: float32[batch, 4], axis: int64[]) y = ${op}(x, axis)`, {
    opset,
    feeds: { axis: [1] },
    misses: { axes: "computed at run time", ...(op === "CumProd" ? { gradient: "computed at run time" } : {}) },
  }),
];

export const scanExamples: readonly Example[] = [
  ...cases("CumSum", 14),
  ...cases("CumProd", 26),
  example(
    "CumSum of stored integers that wraps around",
    "() s: int32[2] = [2147483647, 5]; axis: int32[] = 0; y = CumSum(s, axis)",
    {
      opset: 14,
    },
  ),
  example("CumProd over zeros", "(x: float32[5]) axis: int64[] = 0; y = CumProd(x, axis)", {
    opset: 26,
    feeds: { x: [2, 0, 3, 0, 1] },
  }),
  example("CumProd backwards", "(x: float32[batch, 3]) axis: int64[] = 1; y = CumProd(x, axis) {reverse=1}", {
    opset: 26,
  }),
];
