/** Softmax and LogSoftmax along the last and other axes, before and since opset 13. */
import { type Example, example } from "./define.examples.ts";

const cases = (op: string): readonly Example[] => [
  example(`${op} of logits`, `(x: float32[batch, 4]) y = ${op}(x)`),
  example(`${op} along the channels of pictures`, `(x: float32[batch, 3, 2, 2]) y = ${op}(x) {axis=1}`),
  example(`${op} along a negative axis`, `(x: float32[2, batch, 3]) y = ${op}(x) {axis=-3}`),
  example(`${op} of one vector`, `(x: float32[5]) y = ${op}(x) {axis=0}`),
  example(`${op} of opset 11 over the last axis`, `(x: float32[batch, 2, 3]) y = ${op}(x) {axis=2}`, { opset: 11 }),
  example(`${op} of opset 11 over all but the first axis`, `(x: float32[batch, 2, 3]) y = ${op}(x)`, { opset: 11 }),
  example(`${op} of opset 11 over everything`, `(x: float32[2, 2]) y = ${op}(x) {axis=0}`, { opset: 11 }),
  example(`${op} of opset 7 over channels of one pixel`, `(x: float32[batch, 3, 1, 1]) y = ${op}(x)`, { opset: 7 }),
];

export const softmaxExamples: readonly Example[] = ["Softmax", "LogSoftmax", "Hardmax"].flatMap(cases);
