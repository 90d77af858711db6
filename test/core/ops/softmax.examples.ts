import { type Example, table } from "./define.examples.ts";

const cases = (op: string): readonly Example[] => table()`
  ${op} of logits | (x: float32[batch, 4]) y = ${op}(x)
  ${op} along the channels of images | (x: float32[batch, 3, 2, 2]) y = ${op}(x) {axis=1}
  ${op} along a negative axis | (x: float32[2, batch, 3]) y = ${op}(x) {axis=-3}
  ${op} of one vector | (x: float32[5]) y = ${op}(x) {axis=0}
  ${op} of opset 11 over the last axis | opset 11 (x: float32[batch, 2, 3]) y = ${op}(x) {axis=2}
  ${op} of opset 11 over all but the first axis | opset 11 (x: float32[batch, 2, 3]) y = ${op}(x)
  ${op} of opset 11 over everything | opset 11 (x: float32[2, 2]) y = ${op}(x) {axis=0}
  ${op} of opset 7 over channels of one pixel | opset 7 (x: float32[batch, 3, 1, 1]) y = ${op}(x)
`;

export const softmaxExamples: readonly Example[] = ["Softmax", "LogSoftmax", "Hardmax"].flatMap(cases);
