import { type Example, table } from "./define.examples.ts";

export const scatterExamples: readonly Example[] = [
  ...table()`
    ScatterElements along rows |
      (x: float32[batch, 3], u: float32[batch, 2]) i: int64[2, 2] = [0, 2, 1, 0]; y = ScatterElements(x, i, u) {axis=1}
    ScatterElements that adds |
      (x: float32[3, 2], u: float32[2, 2]) i: int64[2, 2] = [0, 0, 0, 2]; y = ScatterElements(x, i, u) {reduction="add"}
    ScatterElements at negative indices | (x: float32[4], u: float32[1]) i: int64[1] = [-1]; y = ScatterElements(x, i, u)
    ScatterND of rows | (x: float32[4, 2], u: float32[2, 2]) i: int64[2, 1] = [3, 0]; y = ScatterND(x, i, u)
    ScatterND of elements | (x: float32[2, 3], u: float32[2]) i: int64[2, 2] = [0, 1, 1, 2]; y = ScatterND(x, i, u)
    ScatterND that adds |
      (x: float32[4, 2], u: float32[3, 2]) i: int64[3, 1] = [3, 0, 3]; y = ScatterND(x, i, u) {reduction="add"}
    ScatterND that multiplies by zeros |
      (x: float32[3], u: float32[3]) i: int64[3, 1] = [0, 0, 1]; y = ScatterND(x, i, u) {reduction="mul"} | feeds x: 2, 0, 3
      | feeds u: 0, 5, 4 | no gradient: inference only
    ScatterND into a stored shape |
      () s: int64[3] = [2, 3, 4]; i: int64[2, 1] = [0, -1]; u: int64[2] = [7, 8]; y = ScatterND(s, i, u)
    ScatterElements that adds to a stored shape |
      () s: int64[3] = [2, 3, 4]; i: int64[2] = [0, 0]; u: int64[2] = [7, 8]; y = ScatterElements(s, i, u) {reduction="add"}
    Scatter | opset 9 (x: float32[3, 2], u: float32[1, 2]) i: int64[1, 2] = [0, 2]; y = Scatter(x, i, u)
    Scatter along rows |
      opset 10 (x: float32[batch, 3], u: float32[batch, 1]) i: int64[2, 1] = [-1, 0]; y = Scatter(x, i, u) {axis=1}
    Scatter of a vector | opset 9 (x: int64[4], u: int64[2]) i: int32[2] = [3, 0]; y = Scatter(x, i, u)
  `,
  ...["mul", "max", "min"].flatMap((reduction) => [
    ...table({ misses: { gradient: "inference only" } })`
      ScatterElements by "${reduction}" |
        (x: float32[3, 2], u: float32[3, 2]) i: int64[3, 2] = [0, 0, 0, 2, 1, 2]; y = ScatterElements(x, i, u) {reduction="${reduction}"}
      ScatterND by "${reduction}" |
        (x: float32[4, 2], u: float32[3, 2]) i: int64[3, 1] = [3, 0, 3]; y = ScatterND(x, i, u) {reduction="${reduction}"}
    `,
  ]),
];
