import { type Example, table } from "./define.examples.ts";

export const layoutExamples: readonly Example[] = table()`
  Transpose to channels last | (x: float32[batch, 3, 2, 4]) y = Transpose(x) {perm=[0, 2, 3, 1]}
  Transpose of a matrix | (x: float32[batch, 3]) y = Transpose(x)
  Transpose of a vector | (x: float32[4]) y = Transpose(x)
  Transpose of a scalar | (x: float32[]) y = Transpose(x)
  Transpose around a cycle | (x: float32[2, 3, 4]) y = Transpose(x) {perm=[1, 2, 0]}
  Concat of channels | (a: float32[batch, 2, 3], b: float32[batch, 1, 3]) y = Concat(a, b) {axis=1}
  Concat along a negative axis |
    (a: float32[batch, 2], b: float32[batch, 3], c: float32[batch, 1]) y = Concat(a, b, c) {axis=-1}
  Concat of one | (a: float32[batch, 2]) y = Concat(a) {axis=0}
  Concat with nothing | (a: float32[2, 0], b: float32[2, 3]) y = Concat(a, b) {axis=1}
  Concat of a shape | () a: int64[1] = [-1]; b: int64[2] = [3, 4]; y = Concat(a, b) {axis=0}
  Concat of the same value twice | (a: float32[batch, 2]) y = Concat(a, a) {axis=1}
  Split by sizes | (x: float32[batch, 5]) sizes: int64[2] = [2, 3]; a, b = Split(x, sizes) {axis=1}
  Split into equal parts | (x: float32[batch, 6]) a, b, c = Split(x) {axis=-1, num_outputs=3}
  Split into parts with a smaller last | opset 18 (x: float32[5, batch]) a, b = Split(x) {num_outputs=2}
  Split by sizes as an attribute | opset 11 (x: float32[batch, 5]) a, b = Split(x) {axis=1, split=[4, 1]}
  Split into one | (x: float32[batch, 2]) sizes: int64[1] = [2]; a = Split(x, sizes) {axis=1}
  Split of a stored shape | () s: int64[4] = [2, 3, 4, 5]; sizes: int64[2] = [1, 3]; a, b = Split(s, sizes)
  Expand of a stored number | () n: int64[1] = [7]; shape: int64[1] = [3]; y = Expand(n, shape)
  Expand a row | (x: float32[1, 3]) shape: int64[2] = [4, 1]; y = Expand(x, shape)
  Expand a scalar | (x: float32[]) shape: int64[2] = [2, 3]; y = Expand(x, shape)
  Expand by leading axes | (x: float32[batch, 1]) shape: int64[4] = [2, 1, 1, 3]; y = Expand(x, shape)
`;
