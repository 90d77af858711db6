import { type Example, table } from "./define.examples.ts";

const conv = table(
  {},
  (x, w, settings = "") => `(x: float32[batch, ${x}]) w: float32[${w}] = random(seed 1); y = Conv(x, w) {${settings}}`,
);
const biased = table(
  {},
  (x, w, bias, settings = "") =>
    `(x: float32[batch, ${x}]) w: float32[${w}] = random(seed 1); b: float32[${bias}] = random(seed 2); y = Conv(x, w, b) {${settings}}`,
);
const transposed = table(
  {},
  (x, w, settings = "") =>
    `(x: float32[batch, ${x}]) w: float32[${w}] = random(seed 1); y = ConvTranspose(x, w) {${settings}}`,
);

export const convExamples: readonly Example[] = [
  ...biased`
    Conv 3 × 3, padded | 2, 4, 4 | 3, 2, 3, 3 | 3 | kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    Conv in groups | 4, 3, 3 | 6, 2, 2, 2 | 6 | group=2
    Conv depthwise | 3, 4, 4 | 3, 1, 3, 3 | 3 | group=3, pads=[1, 1, 1, 1]
  `,
  ...conv`
    Conv 1 × 1 | 3, 2, 2 | 4, 3, 1, 1
    Conv 1 × 1 with stride 2 | 2, 4, 4 | 3, 2, 1, 1 | strides=[2, 2]
    Conv with stride 2 and rows left over | 2, 6, 5 | 2, 2, 3, 3 | strides=[2, 2], pads=[0, 1, 0, 1]
    Conv with dilation | 1, 6, 6 | 2, 1, 3, 2 | dilations=[2, 3], strides=[1, 2]
    Conv with uneven padding | 2, 3, 4 | 2, 2, 2, 3 | pads=[0, 2, 1, 0]
    Conv with more padding than its kernel reaches | 1, 2, 2 | 1, 1, 1, 2 | pads=[1, 2, 1, 2]
    Conv depthwise with stride | 2, 5, 5 | 2, 1, 3, 3 | group=2, strides=[2, 2], pads=[1, 1, 1, 1]
    Conv depthwise with two kernels per channel | 3, 3, 3 | 6, 1, 2, 2 | group=3
    Conv along one axis | 2, 6 | 3, 2, 3 | pads=[1, 1], strides=[2]
    Conv along three axes | 1, 3, 3, 3 | 2, 1, 2, 2, 2 | pads=[0, 0, 1, 0, 0, 0]
    Conv padded to the same size, more at the end | 1, 5, 4 | 2, 1, 2, 2 | auto_pad="SAME_UPPER", strides=[2, 2]
    Conv padded to the same size, more at the start | 1, 4, 4 | 2, 1, 2, 4 | auto_pad="SAME_LOWER"
    Conv without padding, said so | 1, 4, 4 | 2, 1, 3, 3 | auto_pad="VALID"
    Conv of opset 1 | opset 1 | 2, 4, 4 | 3, 2, 3, 3 | kernel_shape=[3, 3]
  `,
  ...table()`
    Conv with a kernel that is an activation |
      (x: float32[2, 2, 3, 3], w: float32[2, 2, 2, 2]) y = Conv(x, w) | no weight: the kernel is an activation
      | no quantize: the kernel is an activation
    ConvInteger with zero points |
      (x: uint8[batch, 2, 4, 4], w: uint8[3, 2, 3, 3], zx: uint8[], zw: uint8[]) y = ConvInteger(x, w, zx, zw)
      {pads=[1, 1, 1, 1]} | feeds x: from 0 to 256 | no weight: the kernel is an activation
    ConvInteger without zero points | (x: uint8[batch, 1, 3, 3]) w: uint8[2, 1, 2, 2] = ones; y = ConvInteger(x, w)
    ConvInteger with stride | (x: uint8[1, 2, 5, 5]) w: uint8[2, 1, 2, 2] = ones; y = ConvInteger(x, w) {strides=[2, 2], group=2}
    ConvTranspose with a bias |
      (x: float32[batch, 2, 2, 2]) w: float32[2, 3, 3, 3] = random(seed 1); b: float32[3] = random(seed 2);
      y = ConvTranspose(x, w, b) {pads=[1, 1, 1, 1]}
  `,
  ...transposed`
    ConvTranspose 2 × 2 with stride 2 | 2, 3, 3 | 2, 3, 2, 2 | strides=[2, 2]
    ConvTranspose with padding at its output | 1, 3, 3 | 1, 2, 3, 3 | strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
    ConvTranspose with dilation | 2, 3, 3 | 2, 1, 2, 2 | dilations=[2, 1]
    ConvTranspose in groups | 4, 2, 2 | 4, 1, 2, 2 | group=2
    ConvTranspose in groups of several outputs | 4, 2, 2 | 4, 3, 2, 2 | group=2
    ConvTranspose depthwise | 3, 2, 2 | 3, 1, 2, 2 | group=3, strides=[2, 2]
    ConvTranspose depthwise with two kernels each | 3, 2, 2 | 3, 2, 2, 2 | group=3
    ConvTranspose to a given size | 1, 3, 3 | 1, 1, 3, 3 | strides=[2, 2], output_shape=[6, 5]
    ConvTranspose to a multiple of the size | 1, 3, 3 | 1, 2, 3, 3 | strides=[2, 2], auto_pad="SAME_UPPER"
    ConvTranspose along one axis | 2, 4 | 2, 2, 3 | strides=[3]
  `,
];

const deformed = { except: { cost: "each product is of four places weighed, of which some lie outside" } };

export const deformConvExamples: readonly Example[] = table(deformed)`
  DeformConv with a bias |
    (x: float32[batch, 2, 4, 4], offset: float32[batch, 8, 3, 3]) w: float32[3, 2, 2, 2] = random(seed 1); b: float32[3] = random(seed 2);
    y = DeformConv(x, w, offset, b)
  DeformConv with a mask, padded, with stride |
    (x: float32[1, 1, 4, 4], offset: float32[1, 18, 2, 2], mask: float32[1, 9, 2, 2]) w: float32[2, 1, 3, 3] = random(seed 1);
    b: float32[2] = random(seed 2); y = DeformConv(x, w, offset, b, mask) {kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]}
  DeformConv in groups | (x: float32[1, 2, 3, 3], offset: float32[1, 16, 2, 2]) w: float32[2, 1, 2, 2] = random(seed 1);
    y = DeformConv(x, w, offset) {group=2, offset_group=2}
`;
