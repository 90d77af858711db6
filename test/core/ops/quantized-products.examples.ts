/**
 * Layers on codes. Few numbers, so that none lies between two codes; signed weights below 64, for processors on which ONNX Runtime adds two
 * products of 8 bits up in 16.
 */
import { type Example, table } from "./define.examples.ts";

const codes = { from: 0, to: 256 };
const feeds = { feeds: { x: codes, a: codes, b: codes } };
const scales = "xs: float32[] = 0.02; xz: uint8[] = 120; ys: float32[] = 0.13; yz: uint8[] = 100;";
const kernel =
  "w: uint8[4, 3, 3, 3] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128; b: int32[4] = [100, -200, 300, 50];";
const signed =
  "w: int8[4, 3, 1, 1] = [1, -2, 3, 40, 50, -60, 7, 8, 9, -20, 55, 62]; ws: float32[4] = [0.01, 0.02, 0.03, 0.04]; wz: int8[4] = zeros;";
const matrix = "w: uint8[4, 5] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128;";

export const quantizedProductExamples: readonly Example[] = [
  ...table(feeds)`
    QLinearConv with a bias |
      (x: uint8[batch, 3, 5, 5]) ${scales} ${kernel} y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b) {pads=[1, 1, 1, 1]}
    QLinearConv with a scale for each channel, and strides |
      (x: uint8[batch, 3, 5, 5]) ${scales} ${signed} y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz) {strides=[2, 2]}
    QLinearConv depthwise |
      (x: uint8[batch, 4, 5, 5]) ${scales} w: uint8[4, 1, 3, 3] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128;
      y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz) {group=4, auto_pad="SAME_UPPER"}
    QLinearConv of opset 10 | opset 10 (x: uint8[1, 3, 3, 3]) ${scales} ${kernel} y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b)
    QLinearConv of Microsoft with channels last |
      (x: uint8[batch, 5, 4, 3]) ${scales} ${kernel} y = com.microsoft.QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b) {channels_last=1}
    QLinearConv of Microsoft with channels first |
      (x: uint8[batch, 3, 5, 4]) ${scales} ${kernel} y = com.microsoft.QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b)
    QLinearConv of Microsoft with channels last and a scale for each |
      (x: uint8[batch, 5, 4, 3]) ${scales} ${signed} y = com.microsoft.QLinearConv(x, xs, xz, w, ws, wz, ys, yz) {channels_last=1}
    QLinearMatMul with a stored weight |
      (a: uint8[batch, 3, 4]) ${scales} ${matrix} y = QLinearMatMul(a, xs, xz, w, ws, wz, ys, yz)
    QLinearMatMul with a scale for each column |
      (a: uint8[batch, 4]) ${scales} w: int8[4, 2] = [1, -2, 30, 40, -50, 60, 7, 8]; ws: float32[2] = [0.01, 0.02]; wz: int8[2] = zeros;
      y = QLinearMatMul(a, xs, xz, w, ws, wz, ys, yz)
  `,
  ...table()`
    QLinearMatMul of activations |
      (a: uint8[batch, 2, 3, 4], b: uint8[batch, 2, 4, 2]) ${scales} y = QLinearMatMul(a, xs, xz, b, xs, xz, ys, yz)
      | feeds x: from 0 to 256 | feeds a: from 0 to 256 | feeds b: from 0 to 256 | no weight: both operands are activations
  `,
];
