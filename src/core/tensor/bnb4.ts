/** The values of the 16 codes of bitsandbytes' 4-bit types, in the order of the attribute `quant_type` of MatMulBnb4. */
export const bnb4Tables = {
  fp4: [
    0, 0.005208333, 0.6666667, 1, 0.33333334, 0.5, 0.16666667, 0.25, 0, -0.005208333, -0.6666667, -1, -0.33333334, -0.5,
    -0.16666667, -0.25,
  ],
  nf4: [
    -1, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0, 0.0795803, 0.1609302, 0.2461123,
    0.33791524, 0.44070983, 0.562617, 0.72295684, 1,
  ],
} as const satisfies Record<string, readonly number[]>;
