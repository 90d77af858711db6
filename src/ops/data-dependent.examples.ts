/** What the data pick. */
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
  Unique of all elements | (x: float32[batch, 3]) y = Unique(x)
    | feeds x: 2, 1, 1, 3, 4, 3 | except types: ${byData}
  Unique with positions and counts | (x: int64[6]) y, first, which, counts = Unique(x) {sorted=0}
    | feeds x: 2, 1, 1, 3, 4, 3 | except types: ${byData}
  Unique rows |
    (x: float32[3, 2]) y, first, which, counts = Unique(x) {axis=0} | feeds x: 1, 0, 1, 0, 2, 3
    | except types: ${byData}
`;
