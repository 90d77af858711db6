/** Division by a norm along an axis, and by the channels around. */
import { type Example, table } from "./define.examples.ts";

export const localNormExamples: readonly Example[] = table()`
  LpNormalization along the last axis | (x: float32[batch, 3]) y = LpNormalization(x)
  LpNormalization by the sum of sizes | (x: float32[batch, 3, 2]) y = LpNormalization(x) {axis=1, p=1}
  LpNormalization of zeros |
    (x: float32[2, 3]) y = LpNormalization(x) {axis=-1} | feeds x: 0, 0, 0, 1, 2, 3
    | except gradient: a norm has no slope at 0
  LRN of images | (x: float32[batch, 5, 2, 2]) y = LRN(x) {size=3}
  LRN over more channels than there are | (x: float32[batch, 2, 3, 1]) y = LRN(x) {size=5, alpha=0.5, beta=0.6, bias=2.0}
  LRN of opset 7 | opset 7 (x: float32[1, 3, 2, 2]) y = LRN(x) {size=1, alpha=0.1}
`;
