/** Tensors made from a few numbers, or drawn at random: of these two runs differ, so nothing is compared but types. */
import { type Example, table } from "./define.examples.ts";

const indices = { feeds: { i: [0, 2, -1, 5, 1, 1] } };

export const generateExamples: readonly Example[] = [
  ...table()`
    Range of integers | () a: int64[] = 2; b: int64[] = 9; d: int64[] = 3; y = Range(a, b, d)
    Range downwards | opset 11 () a: int32[] = 5; b: int32[] = -2; d: int32[] = -2; y = Range(a, b, d)
    Range of nothing | () a: int64[] = 5; b: int64[] = 2; d: int64[] = 1; y = Range(a, b, d)
    Range of floats | () a: float32[] = 0; b: float32[] = 1; d: float32[] = 0.1; y = Range(a, b, d)
    Range to the number of elements | (x: float32[batch, 3]) a: int64[] = 0; d: int64[] = 2; b = Size(x); y = Range(a, b, d)
    Range between bounds computed at run time |
      (a: int64[], b: int64[], d: int64[]) y = Range(a, b, d) | feeds a: 0 | feeds b: 5 | feeds d: 2
      | except types: how many there are is not known before the run
    EyeLike of a matrix | (x: float32[batch, 3]) y = EyeLike(x)
    EyeLike on another diagonal, as integers | (x: float32[3, 4]) y = EyeLike(x) {dtype=7, k=-1}
    EyeLike of opset 9 | opset 9 (x: int32[2, 2]) y = EyeLike(x) {k=1}
    OneHot of a depth computed at run time | (i: int64[2], depth: int64[], v: float32[2]) y = OneHot(i, depth, v)
      | feeds depth: 3 | except types: the depth is not known before the run
  `,
  ...table(indices)`
    OneHot along a new last axis | (i: int64[batch, 3], v: float32[2]) depth: int64[] = 4; y = OneHot(i, depth, v)
  `,
  ...table({ feeds: indices.feeds })`
    OneHot along a new first axis |
      opset 9 (i: int64[batch, 3]) depth: float32[1] = [4]; v: int32[2] = [0, 1]; y = OneHot(i, depth, v) {axis=0}
    OneHot in the middle | (i: int64[batch, 3], v: float32[2]) depth: int64[] = 4; y = OneHot(i, depth, v) {axis=-2}
  `,
];

const drawn = table({ except: { file: "two runs differ", gradient: "two runs differ" } });

export const noiseExamples: readonly Example[] = [
  ...["RandomNormal", "RandomUniform"].flatMap(
    (op) => drawn`
    ${op} | () y = ${op}() {shape=[2, 3]}
    ${op} of doubles | opset 7 () y = ${op}() {shape=[4], dtype=11, seed=1.0}
    ${op} of one | () y = ${op}() {shape=[]}
    ${op}Like | (x: float32[batch, 3]) y = ${op}Like(x)
    ${op}Like of doubles | opset 7 (x: int32[batch, 3]) y = ${op}Like(x) {dtype=11}
    ${op}Like of a scalar | (x: float32[]) y = ${op}Like(x) {seed=2.0}
  `,
  ),
  ...drawn`
    RandomNormal around another mean | () y = RandomNormal() {shape=[2], mean=3.0, scale=0.1}
    RandomUniformLike in another range | (x: float32[batch]) y = RandomUniformLike(x) {low=2.0, high=5.0}
    Bernoulli | (x: float32[batch, 3]) y = Bernoulli(x) | feeds x: from 0 to 1
    Bernoulli of integers | (x: float32[batch, 3]) y = Bernoulli(x) {dtype=7} | feeds x: from 0 to 1
    Bernoulli of booleans | opset 15 (x: float64[3]) y = Bernoulli(x) {dtype=9} | feeds x: from 0 to 1
    Multinomial | (x: float32[batch, 3]) y = Multinomial(x)
    Multinomial of several | (x: float32[batch, 3]) y = Multinomial(x) {sample_size=5, dtype=7}
    Multinomial of opset 7 | opset 7 (x: float32[2, 3]) y = Multinomial(x) {sample_size=2, seed=1.0}
  `,
];
