/** What is drawn at random. Two runs differ, so nothing is compared but types. */
import { type Example, example, table } from "./define.examples.ts";

const random = { file: "two runs differ", gradient: "two runs differ" };

export const noiseExamples: readonly Example[] = [
  ...["RandomNormal", "RandomUniform"].flatMap((op) => [
    example(op, `() y = ${op}() {shape=[2, 3]}`, { except: random }),
    example(`${op} of doubles`, `() y = ${op}() {shape=[4], dtype=11, seed=1.0}`, { opset: 7, except: random }),
    example(`${op} of one`, `() y = ${op}() {shape=[]}`, { except: random }),
    example(`${op}Like`, `(x: float32[batch, 3]) y = ${op}Like(x)`, { except: random }),
    example(`${op}Like of doubles`, `(x: int32[batch, 3]) y = ${op}Like(x) {dtype=11}`, { opset: 7, except: random }),
    example(`${op}Like of a scalar`, `(x: float32[]) y = ${op}Like(x) {seed=2.0}`, { except: random }),
  ]),
  ...table()`
    RandomNormal around another mean | () y = RandomNormal() {shape=[2], mean=3.0, scale=0.1}
      | except file: two runs differ | except gradient: two runs differ
    RandomUniformLike in another range | (x: float32[batch]) y = RandomUniformLike(x) {low=2.0, high=5.0}
      | except file: two runs differ | except gradient: two runs differ
    Bernoulli |
      (x: float32[batch, 3]) y = Bernoulli(x) | feeds x: from 0 to 1 | except file: two runs differ
      | except gradient: two runs differ
    Bernoulli of integers |
      (x: float32[batch, 3]) y = Bernoulli(x) {dtype=7} | feeds x: from 0 to 1 | except file: two runs differ
      | except gradient: two runs differ
    Bernoulli of booleans |
      opset 15 (x: float64[3]) y = Bernoulli(x) {dtype=9} | feeds x: from 0 to 1 | except file: two runs differ
      | except gradient: two runs differ
    Multinomial | (x: float32[batch, 3]) y = Multinomial(x) | except file: two runs differ | except gradient: two runs differ
    Multinomial of several | (x: float32[batch, 3]) y = Multinomial(x) {sample_size=5, dtype=7}
      | except file: two runs differ | except gradient: two runs differ
    Multinomial of opset 7 | opset 7 (x: float32[2, 3]) y = Multinomial(x) {sample_size=2, seed=1.0}
      | except file: two runs differ | except gradient: two runs differ
  `,
];
