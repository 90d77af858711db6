import { type Example, table } from "../define.examples.ts";

const pool = "(x: float32[batch, 16, 5, 5])";

export const microsoftLayoutExamples: readonly Example[] = [
  ...table()`
    nchwc.Conv with Relu |
      ${pool} w: float32[16, 16, 3, 3] = random(seed 1); b: float32[16] = zeros; y = com.microsoft.nchwc.Conv(x, w, b)
      {activation="Relu", pads=[1, 1, 1, 1]}
    nchwc.Conv with strides |
      ${pool} w: float32[32, 16, 1, 1] = random(seed 1); y = com.microsoft.nchwc.Conv(x, w) {strides=[2, 2]}
    nchwc.Conv depthwise | ${pool} w: float32[16, 1, 3, 3] = random(seed 1); y = com.microsoft.nchwc.Conv(x, w) {group=16}
    nchwc.ReorderInput of whole blocks | ${pool} y = com.microsoft.nchwc.ReorderInput(x)
    nchwc.ReorderInput with channels last |
      (x: float32[batch, 4, 5, 32]) y = com.microsoft.nchwc.ReorderInput(x) {channels_last=1}
    nchwc.ReorderInput of part of a block | (x: float32[batch, 12, 2, 2]) y = com.microsoft.nchwc.ReorderInput(x)
      | except types: how wide a block is depends on the processor
    nchwc.ReorderOutput of whole blocks | ${pool} y = com.microsoft.nchwc.ReorderOutput(x) {channels=16}
    nchwc.ReorderOutput of part of a block | ${pool} y = com.microsoft.nchwc.ReorderOutput(x) {channels=12}
    nchwc.ReorderOutput with channels last | ${pool} y = com.microsoft.nchwc.ReorderOutput(x) {channels=12, channels_last=1}
    NhwcMaxPool of images | (x: uint8[batch, 5, 5, 3]) y = com.microsoft.NhwcMaxPool(x) {kernel_shape=[2, 2]}
    NhwcMaxPool with strides and padding |
      (x: int8[batch, 5, 5, 4]) y = com.microsoft.NhwcMaxPool(x) {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}
      | feeds x: from -128 to 128
    NhwcMaxPool with padding as needed |
      (x: uint8[2, 6, 5, 2]) y = com.microsoft.NhwcMaxPool(x) {kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"}
      | feeds x: from 0 to 256
  `,
  ...table()`
    nchwc.GlobalAveragePool of images | ${pool} y = com.microsoft.nchwc.GlobalAveragePool(x)
    nchwc.GlobalAveragePool of one place | (x: float32[1, 32, 1, 1]) y = com.microsoft.nchwc.GlobalAveragePool(x)
    nchwc.GlobalAveragePool of any width |
      (x: float32[batch, 16, 2, width]) y = com.microsoft.nchwc.GlobalAveragePool(x) | sizes width: 5
  `,
];
