import { between, type Example, table } from "./define.examples.ts";

const wide = { feeds: { x: between(-3, 3) } };
const perChannel = "s: float32[3] = [0.02, 0.03, 0.05]; z: int8[3] = [0, 3, -4]";

export const quantizeExamples: readonly Example[] = [
  ...table(wide)`
    QuantizeLinear per tensor | (x: float32[batch, 3]) s: float32[] = 0.02; z: uint8[] = 100; y = QuantizeLinear(x, s, z)
    QuantizeLinear per channel | (x: float32[batch, 3, 2]) ${perChannel}; y = QuantizeLinear(x, s, z)
    QuantizeLinear along the last axis | (x: float32[batch, 3]) ${perChannel}; y = QuantizeLinear(x, s, z) {axis=-1}
    QuantizeLinear without zero point | (x: float32[3]) s: float32[] = 0.02; y = QuantizeLinear(x, s)
    QuantizeLinear to the type it is told | (x: float32[3]) s: float32[] = 0.001; y = QuantizeLinear(x, s) {output_dtype=5}
    QuantizeLinear in blocks |
      (x: float32[4, 2]) s: float32[2, 2] = [0.02, 0.03, 0.04, 0.05]; z: int8[2, 2] = zeros; y = QuantizeLinear(x, s, z)
      {axis=0, block_size=2}
    QuantizeLinear of opset 10 |
      opset 10 (x: float32[batch, 3]) s: float32[] = 0.02; z: uint8[] = 100; y = QuantizeLinear(x, s, z)
    DynamicQuantizeLinear of an image | (x: float32[batch, 2, 2, 2]) y, s, z = DynamicQuantizeLinear(x)
  `,
  ...table()`
    DequantizeLinear per tensor | (x: uint8[batch, 3]) s: float32[] = 0.02; z: uint8[] = 100; y = DequantizeLinear(x, s, z)
      | feeds x: from 0 to 256
    DequantizeLinear of a stored weight per channel |
      () w: int8[3, 2] = [1, -2, 30, 40, -50, 127]; s: float32[3] = [0.02, 0.03, 0.05]; y = DequantizeLinear(w, s) {axis=0}
    DequantizeLinear of 32-bit integers | (x: int32[batch, 3]) s: float32[] = 0.001; y = DequantizeLinear(x, s)
      | feeds x: from -1000 to 1000
    DequantizeLinear in blocks |
      () w: int8[2, 4] = [1, 2, 3, 4, 5, 6, 7, 8]; s: float32[2, 2] = [0.5, 0.25, 2, 4]; y = DequantizeLinear(w, s) {axis=1, block_size=2}
     
    QuantizeLinear of a vector with a scale in a vector of one |
      (x: float32[3]) s: float32[1] = [0.02]; z: uint8[1] = [100]; y = QuantizeLinear(x, s, z) | feeds x: from -3 to 3
    DequantizeLinear of codes of 4 bits in blocks |
      () w: int4[2, 4] = [1, -2, 3, -4, 5, -6, 7, -8]; s: float32[2, 2] = [0.5, 0.25, 2, 4]; y = DequantizeLinear(w, s)
      {axis=1, block_size=2}
    DequantizeLinear of codes of 4 bits without sign, per channel |
      () w: uint4[2, 3] = [1, 2, 3, 14, 15, 0]; s: float32[2] = [0.5, 0.25]; z: uint4[2] = [8, 7]; y = DequantizeLinear(w, s, z) {axis=0}
    DequantizeLinear of 8-bit floats | () w: float8e4m3fn[3] = [1, -2, 3.5]; s: float32[] = 0.5; y = DequantizeLinear(w, s)
    DynamicQuantizeLinear of a batch | (x: float32[batch, 4]) y, s, z = DynamicQuantizeLinear(x) | feeds x: from -3 to 3
    DynamicQuantizeLinear of positive numbers | (x: float32[3]) y, s, z = DynamicQuantizeLinear(x) | feeds x: 1, 2, 3
  `,
];
