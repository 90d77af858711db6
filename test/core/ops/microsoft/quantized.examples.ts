import { between, type Example, table } from "../define.examples.ts";

const codes = between(0, 256);
const feeds = { feeds: { x: codes, a: codes, b: codes } };
const scales =
  "xs: float32[] = 0.02; xz: uint8[] = 120; bs: float32[] = 0.03; bz: uint8[] = 130; ys: float32[] = 0.05; yz: uint8[] = 100;";
const negative =
  "xs: float32[] = 0.02; xz: int8[] = -3; bs: float32[] = 0.03; bz: int8[] = 4; ys: float32[] = 0.051; yz: int8[] = 5;";
const unit = "xs: float32[] = 0.04; xz: uint8[] = 120; ys: float32[] = 0.00390625; yz: uint8[] = 0;";

export const microsoftQuantizedExamples: readonly Example[] = [
  ...["QLinearAdd", "QLinearMul"].flatMap(
    (name) => table(feeds)`
    ${name} of equal shapes |
      (a: uint8[batch, 3], b: uint8[batch, 3]) ${scales} y = com.microsoft.${name}(a, xs, xz, b, bs, bz, ys, yz)
    ${name} broadcasting |
      (a: uint8[batch, 2, 3], b: uint8[3]) ${scales} y = com.microsoft.${name}(a, xs, xz, b, bs, bz, ys, yz)
    ${name} of signed codes |
      (a: int8[batch, 3], b: int8[1, 3]) ${negative} y = com.microsoft.${name}(a, xs, xz, b, bs, bz, ys, yz)
      | feeds a: from -128 to 128 | feeds b: from -128 to 128
  `,
  ),
  ...["QLinearSigmoid", "QLinearLeakyRelu"].flatMap(
    (name) => table(feeds)`
    ${name} of a batch | (x: uint8[batch, 3]) ${unit} y = com.microsoft.${name}(x, xs, xz, ys, yz)
    ${name} of signed codes |
      (x: int8[batch, 3]) xs: float32[] = 0.02; xz: int8[] = -3; ys: float32[] = 0.03; yz: int8[] = 5;
      y = com.microsoft.${name}(x, xs, xz, ys, yz) | feeds x: from -128 to 128
    ${name} of nothing | (x: uint8[2, 0]) ${unit} y = com.microsoft.${name}(x, xs, xz, ys, yz)
  `,
  ),
  ...table(feeds)`
    QLinearLeakyRelu with another slope |
      (x: uint8[batch, 3]) xs: float32[] = 0.02; xz: uint8[] = 120; ys: float32[] = 0.03; yz: uint8[] = 60;
      y = com.microsoft.QLinearLeakyRelu(x, xs, xz, ys, yz) {alpha=0.3}
    QLinearSoftmax along the last axis |
      (x: uint8[batch, 5]) ${unit} y = com.microsoft.QLinearSoftmax(x, xs, xz, ys, yz) {opset=13}
    QLinearSoftmax along another axis |
      (x: uint8[batch, 4, 2]) ${unit} y = com.microsoft.QLinearSoftmax(x, xs, xz, ys, yz) {opset=13, axis=1}
    QLinearWhere of equal shapes |
      (c: bool[batch, 3], a: uint8[batch, 3], b: uint8[batch, 3]) ${scales} y = com.microsoft.QLinearWhere(c, a, xs, xz, b, bs, bz, ys, yz)
    QLinearWhere broadcasting |
      (c: bool[2, 1], a: uint8[3], b: uint8[batch, 2, 3]) ${scales} y = com.microsoft.QLinearWhere(c, a, xs, xz, b, bs, bz, ys, yz)
    QLinearConcat of two |
      (a: uint8[batch, 2], b: uint8[batch, 3]) ${scales} y = com.microsoft.QLinearConcat(ys, yz, a, xs, xz, b, bs, bz) {axis=1}
    QLinearConcat of three along the first axis |
      (a: uint8[batch, 2], b: uint8[3, 2]) ${scales} y = com.microsoft.QLinearConcat(ys, yz, a, xs, xz, b, bs, bz, a, bs, bz) {axis=0}
    QLinearAveragePool with padding |
      (x: uint8[batch, 2, 5, 5]) ${scales} y = com.microsoft.QLinearAveragePool(x, xs, xz, ys, yz)
      {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}
    QLinearAveragePool counting padding |
      (x: uint8[batch, 2, 4, 4]) ${scales} y = com.microsoft.QLinearAveragePool(x, xs, xz, ys, yz)
      {kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1}
    QLinearAveragePool with channels last |
      (x: uint8[batch, 4, 4, 2]) ${scales} y = com.microsoft.QLinearAveragePool(x, xs, xz, ys, yz) {kernel_shape=[3, 3], channels_last=1}
    QLinearGlobalAveragePool of images |
      (x: uint8[batch, 2, 3, 3]) ${scales} y = com.microsoft.QLinearGlobalAveragePool(x, xs, xz, ys, yz)
    QLinearGlobalAveragePool with channels last |
      (x: uint8[batch, 3, 3, 2]) ${scales} y = com.microsoft.QLinearGlobalAveragePool(x, xs, xz, ys, yz) {channels_last=1}
  `,
  ...table()`
    QLinearSoftmax over everything from an axis on |
      (x: uint8[batch, 4, 2]) ${unit} y = com.microsoft.QLinearSoftmax(x, xs, xz, ys, yz) {opset=11, axis=1}
      | feeds x: from 0 to 256 | feeds a: from 0 to 256 | feeds b: from 0 to 256 | no lower: flattens several axes
    QLinearWhere of signed codes |
      (c: bool[2], a: int8[2], b: int8[2]) ${negative} y = com.microsoft.QLinearWhere(c, a, xs, xz, b, bs, bz, ys, yz)
      | feeds a: from -128 to 128 | feeds b: from -128 to 128
    QLinearConcat along the last axis |
      (a: int8[batch, 2], b: int8[batch, 2]) ${negative} y = com.microsoft.QLinearConcat(ys, yz, a, xs, xz, b, bs, bz) {axis=-1}
      | feeds a: from -128 to 128 | feeds b: from -128 to 128
    QLinearGlobalAveragePool of signed codes |
      (x: int8[batch, 2, 3, 3]) ${negative} y = com.microsoft.QLinearGlobalAveragePool(x, xs, xz, ys, yz)
      | feeds x: from -128 to 128
    QuantizeLinear of Microsoft per tensor | (x: float32[batch, 3]) ${scales} y = com.microsoft.QuantizeLinear(x, xs, xz)
      | feeds x: from -3 to 3
    QuantizeLinear of Microsoft per channel |
      (x: float32[batch, 3]) s: float32[3] = [0.02, 0.03, 0.05]; z: int8[3] = [0, 3, -4]; y = com.microsoft.QuantizeLinear(x, s, z) {axis=1}
      | feeds x: from -3 to 3
    QuantizeLinear of Microsoft to 16 bits |
      (x: float32[batch, 3]) s: float32[] = 0.001; z: uint16[] = 30000; y = com.microsoft.QuantizeLinear(x, s, z)
      | no lower: the default domain has uint16
    DequantizeLinear of Microsoft per tensor | (x: uint8[batch, 3]) ${scales} y = com.microsoft.DequantizeLinear(x, xs, xz)
      | feeds x: from 0 to 256 | except gradient: it begins with integers
    DequantizeLinear of Microsoft per channel |
      (x: int8[batch, 3]) s: float32[3] = [0.02, 0.03, 0.05]; z: int8[3] = [0, 3, -4];
      y = com.microsoft.DequantizeLinear(x, s, z) {axis=1} | feeds x: from -128 to 128
      | except gradient: it begins with integers
    DequantizeLinear of Microsoft of 16 bits |
      (x: uint16[batch, 3]) s: float32[] = 0.001; z: uint16[] = 30000; y = com.microsoft.DequantizeLinear(x, s, z)
      | feeds x: from 0 to 65536 | no lower: the default domain has uint16 | except gradient: it begins with integers
  `,
];
