import { between, type Example, example, table } from "./define.examples.ts";

function cases(op: string, since: number, feeds = { x: between(-2, 2) }): readonly Example[] {
  const before = since - 1;
  return [
    ...table({ feeds })`
      ${op} over everything | (x: float32[batch, 3]) y = ${op}(x)
      ${op} over a negative axis | (x: float32[batch, 3, 2]) axes: int64[1] = [-1]; y = ${op}(x, axes)
      ${op} over two axes, not kept | (x: float32[batch, 2, 3]) axes: int64[2] = [0, 2]; y = ${op}(x, axes) {keepdims=0}
      ${op} over nothing | (x: float32[batch, 3]) axes: int64[0] = []; y = ${op}(x, axes) {noop_with_empty_axes=1}
    `,
    example(`${op} with axes as an attribute`, `(x: float32[batch, 2, 3]) y = ${op}(x) {axes=[1], keepdims=0}`, {
      opset: before,
      feeds,
    }),
    example(`${op} of a scalar`, `(x: float32[]) y = ${op}(x) {keepdims=0}`, { feeds }),
  ];
}

export const reduceExamples: readonly Example[] = [
  ...cases("ReduceSum", 13),
  ...["ReduceMean", "ReduceSumSquare", "ReduceL2", "ReduceL1", "ReduceLogSumExp"].flatMap((op) => cases(op, 18)),
  ...cases("ReduceLogSum", 18, { x: between(0.5, 2) }),
  ...["ReduceMax", "ReduceMin", "ReduceProd"].flatMap((op) => cases(op, 18)),
  ...table()`
    ReduceMax of equal elements |
      (x: float32[2, 3]) axes: int64[1] = [1]; y = ReduceMax(x, axes) | feeds x: 2, 2, 1, 0, 0, 0
      | except gradient: has a corner where elements are equal
    ReduceL2 of zeros |
      (x: float32[2, 2]) axes: int64[1] = [1]; y = ReduceL2(x, axes) | feeds x: 0, 0, 3, 4
      | except gradient: has a corner at zero
    ReduceProd with zeros in it | (x: float32[2, 3]) axes: int64[1] = [1]; y = ReduceProd(x, axes) | feeds x: 0, 2, 3, 0, 0, 5
    ReduceProd of a stored shape | () s: int64[3] = [2, 3, 4]; y = ReduceProd(s) {keepdims=0}
    ReduceSum of a stored shape | () s: int64[3] = [2, 3, 4]; y = ReduceSum(s)
    ReduceMax of a stored shape | () s: int64[3] = [2, 4, 3]; y = ReduceMax(s)
    ReduceMin of dimensions |
      (x: float32[batch, 3]) s = Shape(x); y = ReduceMin(s) | except channels: is computed from the dimensions that would change
    ReduceSum over axes computed at run time |
      (x: float32[2, 3], axes: int64[1]) y = ReduceSum(x, axes) | feeds axes: 1 | no axes: computed at run time
      | no gradient: computed at run time | except types: which axes become 1 is not known before the run
    ReduceMean over an axis computed at run time, not kept |
      (x: float32[2, 3], axes: int64[1]) y = ReduceMean(x, axes) {keepdims=0} | no axes: computed at run time
      | no gradient: computed at run time | feeds axes: 1 | except types: which axes remain is not known before the run
    ReduceSum over as many axes as there are | (x: float32[batch, 3], axes: int64[2]) y = ReduceSum(x, axes) | feeds axes: 1, 0
  `,
];
