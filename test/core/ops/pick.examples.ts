import { type Example, table } from "./define.examples.ts";

const byData = "how many there are is not known before the run";

export const pickExamples: readonly Example[] = table()`
  NonZero of a matrix |
    (x: float32[batch, 3]) y = NonZero(x) | feeds x: 0, 1, 0, 2, 0, 3
    | except types: ${byData}
  NonZero of a scalar |
    (x: float32[]) y = NonZero(x) | feeds x: 2 | except types: ${byData}
  NonZero of stored booleans | () x: bool[3] = [true, false, true]; y = NonZero(x)
  NonZero of ones | () s: int64[3] = [1, 1, 1]; y = NonZero(s)
  Compress of rows by what is stored | (x: float32[3, batch]) c: bool[3] = [true, false, true]; y = Compress(x, c) {axis=0}
  Compress along a negative axis |
    (x: float32[batch, 3], c: bool[2]) y = Compress(x, c) {axis=-1} | feeds c: 0, 1
    | except types: ${byData}
  Compress of all elements in a row |
    (x: float32[2, 2], c: bool[3]) y = Compress(x, c) | feeds c: 1, 0, 1
    | except types: ${byData}
  Compress of a stored shape | opset 9 () s: int64[3] = [5, 6, 7]; c: bool[3] = [true, false, true]; y = Compress(s, c)
`;

const positions = (op: string): readonly Example[] => table()`
  ${op} along the first axis | (x: float32[batch, 3]) y = ${op}(x)
  ${op} along the last axis, not kept | (x: float32[batch, 3, 2]) y = ${op}(x) {axis=-1, keepdims=0}
  ${op}: the last of equal ones | (x: int32[2, 3]) y = ${op}(x) {axis=1, select_last_index=1} | feeds x: 1, 1, 0, 2, 2, 2
  ${op} of opset 7 | opset 7 (x: float32[batch, 3]) y = ${op}(x) {axis=1, keepdims=0}
`;

export const orderExamples: readonly Example[] = [
  ...["ArgMax", "ArgMin"].flatMap(positions),
  ...table()`
    TopK along the last axis | (x: float32[batch, 4]) k: int64[1] = [2]; v, i = TopK(x, k)
    TopK of the least, unsorted, along another axis |
      (x: float32[3, batch, 2]) k: int64[1] = [2]; v, i = TopK(x, k) {axis=0, largest=0, sorted=0}
    TopK of nothing | (x: float32[batch, 4]) k: int64[1] = [0]; v, i = TopK(x, k)
    TopK of opset 7 | opset 7 (x: float32[batch, 4]) v, i = TopK(x) {k=3}
    TopK of opset 10 | opset 10 (x: float32[batch, 4]) k: int64[1] = [3]; v, i = TopK(x, k) {axis=1}
    TopK of a number computed at run time |
      (x: float32[batch, 4], k: int64[1]) v, i = TopK(x, k) | feeds k: 2
      | except types: how many it picks is not known before the run
  `,
];
