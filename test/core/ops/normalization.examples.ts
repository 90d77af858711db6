import { type Example, table } from "./define.examples.ts";

const affine = (count: string): string =>
  `scale: float32[${count}] = random(seed 1, from 0.5 to 1.5); bias: float32[${count}] = random(seed 2);`;
const layer = table(
  {},
  (x, count, settings = "") =>
    `(x: float32[${x}]) ${affine(count)} y = LayerNormalization(x, scale, bias) {${settings}}`,
);
const rms = table(
  { opset: 23 },
  (x, count, settings = "") => `(x: float32[${x}]) ${affine(count)} y = RMSNormalization(x, scale) {${settings}}`,
);
const instance = table(
  {},
  (x, count, settings = "") =>
    `(x: float32[batch, ${x}]) ${affine(String(count))} y = InstanceNormalization(x, scale, bias) {${settings}}`,
);
const group = table(
  {},
  (x, count, settings) =>
    `(x: float32[batch, ${x}]) ${affine(String(count))} y = GroupNormalization(x, scale, bias) {${settings}}`,
);

export const normalizationExamples: readonly Example[] = [
  ...layer`
    LayerNormalization over the last axis | batch, 3, 4 | 4
    LayerNormalization over two axes, with another epsilon | batch, 2, 3, 2 | 3, 2 | axis=-2, epsilon=0.1
    LayerNormalization over everything | 2, 3 | 2, 3 | axis=0
    LayerNormalization far from 0 | batch, 8 | 8 | feeds x: from 9 to 11
    LayerNormalization of opset 17 | opset 17 | batch, 3 | 3
  `,
  ...table()`
    LayerNormalization with a scale and a bias for each row |
      (x: float32[2, 3, 4]) scale: float32[3, 4] = random(seed 1); bias: float32[2, 1, 4] = random(seed 2);
      y = LayerNormalization(x, scale, bias)
    LayerNormalization without bias |
      (x: float32[batch, 3]) scale: float32[3] = random(seed 1); y = LayerNormalization(x, scale) {axis=1}
    LayerNormalization with its statistics |
      (x: float32[batch, 2, 3]) ${affine("3")} y, mean, inverse = LayerNormalization(x, scale, bias)
      | except gradient: its statistics are float32 whatever its input is
    LayerNormalization in halves |
      (x: float16[batch, 4]) scale: float16[4] = ones; bias: float16[4] = zeros; y = LayerNormalization(x, scale, bias)
      | except gradient: is not trained in halves
    LRN of images | (x: float32[batch, 5, 2, 2]) y = LRN(x) {size=3}
    LRN over more channels than there are | (x: float32[batch, 2, 3, 1]) y = LRN(x) {size=5, alpha=0.5, beta=0.6, bias=2.0}
    LRN of opset 7 | opset 7 (x: float32[1, 3, 2, 2]) y = LRN(x) {size=1, alpha=0.1}
  `,
  ...rms`
    RMSNormalization over the last axis | batch, 3, 4 | 4
    RMSNormalization over two axes | batch, 2, 3 | 2, 3 | axis=1, epsilon=0.01
    RMSNormalization of one row | 1, 5 | 5 | axis=-1
  `,
  ...instance`
    InstanceNormalization of images | 2, 3, 3 | 2
    InstanceNormalization along one axis, with another epsilon | 3, 4 | 3 | epsilon=0.2
    InstanceNormalization of opset 7 | opset 7 | 2, 4 | 2
    InstanceNormalization of volumes | 1, 2, 2, 2 | 1
  `,
  ...group`
    GroupNormalization of images | 4, 2, 2 | 4 | num_groups=2
    GroupNormalization of groups of two | 6, 2 | 6 | num_groups=3
    GroupNormalization with every channel alone | 3, 4 | 3 | num_groups=3, epsilon=0.1
    GroupNormalization of all channels together | 4, 2 | 4 | num_groups=1
  `,
];
