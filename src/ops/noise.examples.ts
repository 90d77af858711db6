/** What is drawn at random. Two runs differ, so nothing is compared but types. */
import { between, type Example, example, table } from "./define.examples.ts";

const random = { file: "two runs differ", gradient: "two runs differ" };
const chances = { feeds: { x: between(0, 1) }, except: random };

export const noiseExamples: readonly Example[] = [
  ...["RandomNormal", "RandomUniform"].flatMap((op) => [
    example(op, `() y = ${op}() {shape=[2, 3]}`, { except: random }),
    example(`${op} of doubles`, `() y = ${op}() {shape=[4], dtype=11, seed=1.0}`, { opset: 7, except: random }),
    example(`${op} of one`, `() y = ${op}() {shape=[]}`, { except: random }),
    example(`${op}Like`, `(x: float32[batch, 3]) y = ${op}Like(x)`, { except: random }),
    example(`${op}Like of doubles`, `(x: int32[batch, 3]) y = ${op}Like(x) {dtype=11}`, { opset: 7, except: random }),
    example(`${op}Like of a scalar`, `(x: float32[]) y = ${op}Like(x) {seed=2.0}`, { except: random }),
  ]),
  ...table({ except: random })`
    RandomNormal around another mean | () y = RandomNormal() {shape=[2], mean=3.0, scale=0.1}
    RandomUniformLike in another range | (x: float32[batch]) y = RandomUniformLike(x) {low=2.0, high=5.0}
  `,
  example("Bernoulli", "(x: float32[batch, 3]) y = Bernoulli(x)", chances),
  example("Bernoulli of integers", "(x: float32[batch, 3]) y = Bernoulli(x) {dtype=7}", chances),
  example("Bernoulli of booleans", "(x: float64[3]) y = Bernoulli(x) {dtype=9}", { ...chances, opset: 15 }),
  ...table({ except: random })`
    Multinomial | (x: float32[batch, 3]) y = Multinomial(x)
    Multinomial of several | (x: float32[batch, 3]) y = Multinomial(x) {sample_size=5, dtype=7}
    Multinomial of opset 7 | opset 7 (x: float32[2, 3]) y = Multinomial(x) {sample_size=2, seed=1.0}
  `,
];
