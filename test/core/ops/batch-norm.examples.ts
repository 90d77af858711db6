import { type Example, table } from "./define.examples.ts";

const stored = (channels: number): string =>
  `scale: float32[${channels}] = random(seed 1, from 0.5 to 1.5); bias: float32[${channels}] = random(seed 2);
  mean: float32[${channels}] = random(seed 3); variance: float32[${channels}] = random(seed 4, from 0.5 to 1.5);`;

export const batchNormExamples: readonly Example[] = table()`
  BatchNormalization of images |
    (x: float32[batch, 3, 2, 2]) ${stored(3)} y = BatchNormalization(x, scale, bias, mean, variance)
  BatchNormalization of vectors | (x: float32[batch, 3]) ${stored(3)} y = BatchNormalization(x, scale, bias, mean, variance)
  BatchNormalization with another epsilon |
    (x: float32[batch, 2, 3]) ${stored(2)} y = BatchNormalization(x, scale, bias, mean, variance) {epsilon=0.1}
  BatchNormalization of opset 7 |
    opset 7 (x: float32[batch, 2, 3]) ${stored(2)} y = BatchNormalization(x, scale, bias, mean, variance) {momentum=0.8}
  BatchNormalization per element | opset 7 (x: float32[2, 2, 3])
    scale: float32[2, 3] = ones; bias: float32[2, 3] = zeros; mean: float32[2, 3] = zeros; variance: float32[2, 3] = ones;
    y = BatchNormalization(x, scale, bias, mean, variance) {spatial=0} | no axes: normalizes per element
  BatchNormalization with the batch's own statistics |
    (x: float32[4, 2, 3]) ${stored(2)} y, m, v = BatchNormalization(x, scale, bias, mean, variance) {training_mode=1}
  BatchNormalization with the batch's own statistics, before opset 14 |
    opset 9 (x: float32[4, 2, 3]) ${stored(2)} y, m, v, own, inverse = BatchNormalization(x, scale, bias, mean, variance)
`;
