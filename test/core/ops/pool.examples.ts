import { type Example, table } from "./define.examples.ts";

const max = table({}, (x, settings) => `(x: float32[batch, ${x}]) y = MaxPool(x) {${settings}}`);
const average = table({}, (x, settings) => `(x: float32[batch, ${x}]) y = AveragePool(x) {${settings}}`);
const overall = (op: string): readonly Example[] => table()`
  ${op} of images | (x: float32[batch, 3, 2, 3]) y = ${op}(x)
  ${op} along one axis | (x: float32[batch, 2, 4]) y = ${op}(x)
  ${op} of a single place | (x: float32[batch, 3, 1, 1]) y = ${op}(x)
`;

const blocks = table(
  { except: { cost: "adding up is written as a product with ones" } },
  (x, image, block, settings = "") =>
    `(x: float32[${x}]) image: int64[2] = [${image}]; block: int64[2] = [${block}]; y = Col2Im(x, image, block) {${settings}}`,
);

export const poolExamples: readonly Example[] = [
  ...max`
    MaxPool 2 × 2 | 2, 4, 4 | kernel_shape=[2, 2], strides=[2, 2]
    MaxPool with overlapping windows | 1, 5, 5 | kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    MaxPool with the last window partly outside | 1, 5, 5 | kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
    MaxPool with the last window wholly in the padding |
      1, 3, 3 | kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[0, 0, 1, 1]
    MaxPool with dilation | 1, 5, 5 | kernel_shape=[2, 2], dilations=[2, 2]
    MaxPool along one axis | 2, 6 | kernel_shape=[3]
    MaxPool padded to the same size | 1, 5, 5 | kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"
    MaxPool of opset 1 | opset 1 | 2, 4, 4 | kernel_shape=[2, 2]
  `,
  ...table()`
    MaxPool with its indices |
      (x: float32[batch, 2, 4, 4]) y, i = MaxPool(x) {kernel_shape=[2, 2]} | no axes: positions in the whole tensor
  `,
  ...average`
    AveragePool 2 × 2 | 2, 4, 4 | kernel_shape=[2, 2], strides=[2, 2]
    AveragePool that does not count its padding | 1, 4, 4 | kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    AveragePool that counts its padding | 1, 4, 4 | kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1
    AveragePool with the last window partly outside | 1, 5, 5 | kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
    AveragePool that counts its padding, with the last window partly beyond it |
      1, 4, 5 | kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1, count_include_pad=1
    AveragePool along one axis | 2, 6 | kernel_shape=[4], strides=[2]
    AveragePool with dilation | opset 19 | 1, 5, 5 | kernel_shape=[2, 2], dilations=[2, 2] | no quantize: ONNX Runtime 1.30 fuses a dilated AveragePool of integers into QLinearAveragePool, which has no dilations
    AveragePool padded to the same size | 1, 5, 5 | kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"
    AveragePool of opset 7 | opset 7 | 2, 4, 4 | kernel_shape=[2, 2]
  `,
  ...overall("GlobalAveragePool"),
  ...overall("GlobalMaxPool"),
  ...blocks`
    Col2Im without overlap | batch, 8, 4 | 4, 4 | 2, 2 | strides=[2, 2]
    Col2Im with overlap and padding | 1, 6, 12 | 3, 4 | 2, 3 | pads=[1, 0, 1, 1]
    Col2Im, dilated | batch, 4, 6 | 4, 5 | 2, 2 | dilations=[2, 2]
  `,
];
