import { between, type Example, table } from "../define.examples.ts";

const begins = { gradient: "it rounds to integers, or begins with them" };
const codes = { feeds: { a: between(0, 256), b: between(0, 256) }, except: begins };
const matrix =
  "w: uint8[4, 5] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128; b: float32[5] = random(seed 2);";
const columns = "w: int8[4, 2] = [1, -2, 30, 40, -50, 60, 7, 8]; ws: float32[2] = [0.01, 0.02]; wz: int8[2] = zeros;";
const scale = "as: float32[] = 0.02; az: uint8[] = 120;";
const result = "ys: float32[] = 0.13; yz: uint8[] = 100;";
const tables =
  "words: uint8[6, 4] = random(seed 1, from 0 to 255); places: uint8[5, 4] = random(seed 2, from 0 to 255); kinds: uint8[2, 4] = random(seed 3, from 0 to 255); scale: uint8[4] = [200, 210, 220, 230]; shift: uint8[4] = [1, 20, 130, 250]; s: float32[] = 0.01; z: uint8[] = 128;";
const ids = { feeds: { ids: between(0, 6), kind: between(0, 2), mask: between(0, 2) }, except: begins };

export const microsoftIntegerExamples: readonly Example[] = [
  ...table()`
    DynamicQuantizeMatMul with a bias |
      (a: float32[batch, 3, 4]) ${matrix} y = com.microsoft.DynamicQuantizeMatMul(a, w, ws, wz, b)
      | except gradient: it rounds to integers, or begins with them
    DynamicQuantizeMatMul with a scale for each column |
      (a: float32[batch, 4]) ${columns} y = com.microsoft.DynamicQuantizeMatMul(a, w, ws, wz)
      | except gradient: it rounds to integers, or begins with them
    DynamicQuantizeMatMul of activations |
      (a: float32[batch, 3, 4], w: int8[4, 2], ws: float32[1]) y = com.microsoft.DynamicQuantizeMatMul(a, w, ws)
      | no weight: both operands are activations | except gradient: it rounds to integers, or begins with them
    MatMulIntegerToFloat without zero points |
      (a: uint8[batch, 4], w: uint8[4, 2]) as: float32[] = 0.02; ws: float32[] = 0.01;
      y = com.microsoft.MatMulIntegerToFloat(a, w, as, ws) | feeds a: from 0 to 256 | feeds b: from 0 to 256
      | except gradient: it rounds to integers, or begins with them | no weight: both operands are activations
  `,
  ...table(codes)`
    MatMulIntegerToFloat with a bias |
      (a: uint8[batch, 3, 4]) ${scale} ${matrix} y = com.microsoft.MatMulIntegerToFloat(a, w, as, ws, az, wz, b)
    MatMulIntegerToFloat with a scale for each column |
      (a: uint8[batch, 4]) ${scale} ${columns} y = com.microsoft.MatMulIntegerToFloat(a, w, as, ws, az, wz)
    QGemm to numbers |
      (a: uint8[batch, 4]) ${scale} w: uint8[5, 4] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128;
      c: int32[5] = [100, -200, 300, 0, 7]; y = com.microsoft.QGemm(a, as, az, w, ws, wz, c) {transB=1}
    QGemm to codes, scaled |
      (a: uint8[4, batch]) ${scale} w: uint8[4, 5] = random(seed 1, from 0 to 255); ws: float32[] = 0.01; wz: uint8[] = 128;
      ${result} y = com.microsoft.QGemm(a, as, az, w, ws, wz, _, ys, yz) {transA=1, alpha=0.5}
    QGemm with a scale for each column |
      (a: uint8[batch, 4]) ${scale} ${columns} ${result} y = com.microsoft.QGemm(a, as, az, w, ws, wz, _, ys, yz)
  `,
  ...table(ids)`
    QEmbedLayerNormalization with segments |
      (ids: int32[batch, 3], kind: int32[batch, 3])
      ${tables} y, count = com.microsoft.QEmbedLayerNormalization(ids, kind, words, places, kinds, scale, shift, _, s, s, s, s, s, z, z, z, z, z)
    QEmbedLayerNormalization with a mask |
      (ids: int32[batch, 5], kind: int32[batch, 5], mask: int32[batch, 5])
      ${tables} y, count = com.microsoft.QEmbedLayerNormalization(ids, kind, words, places, kinds, scale, shift, mask, s, s, s, s, s, z, z, z, z, z)
    QEmbedLayerNormalization with another epsilon |
      (ids: int32[batch, 3], kind: int32[batch, 3])
      ${tables} y, count = com.microsoft.QEmbedLayerNormalization(ids, kind, words, places, kinds, scale, shift, _, s, s, s, s, s, z, z, z, z, z) {epsilon=0.01}
  `,
];
