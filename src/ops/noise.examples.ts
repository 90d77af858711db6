/** What is drawn at random. Two runs differ, so nothing is compared but types. */
import { type Example, table } from "./define.examples.ts";

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
