import { between, type Example, table } from "../define.examples.ts";

const nbits = table(
  {},
  (data, stored, inputs, settings) =>
    `(x: ${data}) ${stored} y = com.microsoft.MatMulNBits(x, w, s${inputs}) {${settings}}`,
);
const random = (name: string, dims: string, seed: number): string =>
  `${name}: uint8[${dims}] = random(seed ${seed}, from 0 to 255);`;
const scales = (dims: string): string => `s: float32[${dims}] = random(seed 9, from 0.01 to 0.05);`;
const stored = { feeds: { at: between(0, 6) } };

export const microsoftBlockExamples: readonly Example[] = [
  ...nbits`
    MatMulNBits of 4 bits |
      float32[batch, 32] | ${random("w", "4, 2, 8", 1)} ${scales("4, 2")} |  | K=32, N=4, bits=4, block_size=16
    MatMulNBits of 4 bits with zero points, over part of a block, with a bias |
      float32[batch, 3, 40]
      | ${random("w", "4, 3, 8", 1)} ${scales("4, 3")} ${random("z", "4, 2", 2)} b: float32[4] = random(seed 3); | , z, _, b
      | K=40, N=4, block_size=16
    MatMulNBits with scales and zero points in one row |
      float32[batch, 48] | ${random("w", "4, 3, 8", 1)} ${scales("12")} ${random("z", "8", 2)} | , z
      | K=48, N=4, bits=4, block_size=16
    MatMulNBits of 8 bits with zero points |
      float32[batch, 32] | ${random("w", "4, 2, 16", 1)} ${scales("4, 2")} ${random("z", "4, 2", 2)} | , z
      | K=32, N=4, bits=8, block_size=16
    MatMulNBits of 2 bits |
      float32[batch, 32] | ${random("w", "4, 1, 8", 1)} ${scales("4, 1")} |  | K=32, N=4, bits=2, block_size=32
    MatMulNBits with zero points that are no integers |
      float32[batch, 32] | ${random("w", "4, 2, 8", 1)} ${scales("4, 2")} z: float32[4, 2] = random(seed 2, from 6 to 9); | , z
      | K=32, N=4, bits=4, block_size=16
    MatMulNBits in half precision |
      float16[batch, 32] | ${random("w", "4, 2, 8", 1)} s: float16[4, 2] = random(seed 9, from 0.01 to 0.05); |
      | K=32, N=4, bits=4, block_size=16 | except gradient: differences of numbers of 16 bits are too rough
  `,
  ...table()`
    MatMulBnb4 with table 0 |
      (x: float32[batch, 32]) ${random("w", "64", 1)} s: float32[8] = random(seed 9, from 0.1 to 1);
      y = com.microsoft.MatMulBnb4(x, w, s) {K=32, N=4, block_size=16, quant_type=0}
    MatMulBnb4 with table 1 |
      (x: float32[batch, 32]) ${random("w", "64", 1)} s: float32[8] = random(seed 9, from 0.1 to 1);
      y = com.microsoft.MatMulBnb4(x, w, s) {K=32, N=4, block_size=16, quant_type=1}
    MatMulBnb4 of a sequence, with a part of a block |
      (x: float32[batch, 3, 10]) ${random("w", "20", 1)} s: float32[3] = random(seed 9, from 0.1 to 1);
      y = com.microsoft.MatMulBnb4(x, w, s) {K=10, N=4, block_size=16, quant_type=1}
    GatherBlockQuantized of a type of 4 bits |
      (at: int64[batch])
      w: int4[2, 16] = [1, -2, 3, -4, 5, -6, 7, -8, 0, 1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0];
      s: float32[2, 1] = [0.5, 0.25]; y = com.microsoft.GatherBlockQuantized(w, at, s)
      {block_size=16, gather_axis=0, quantize_axis=1} | feeds at: from 0 to 2
  `,
  ...table(stored)`
    GatherBlockQuantized of 4 bits in bytes |
      (at: int64[batch, 3]) ${random("w", "6, 16", 1)} ${scales("6, 2")} y = com.microsoft.GatherBlockQuantized(w, at, s)
      {bits=4, block_size=16, gather_axis=0, quantize_axis=1}
    GatherBlockQuantized with zero points |
      (at: int32[batch]) ${random("w", "6, 32", 1)} ${scales("6, 4")} ${random("z", "6, 2", 2)} y = com.microsoft.GatherBlockQuantized(w, at, s, z) {bits=4, block_size=16, gather_axis=0, quantize_axis=1}
    GatherBlockQuantized of 8 bits |
      (at: int64[batch]) ${random("w", "6, 32", 1)} ${scales("6, 2")} y = com.microsoft.GatherBlockQuantized(w, at, s)
      {bits=8, block_size=16, gather_axis=0, quantize_axis=1}
  `,
];
