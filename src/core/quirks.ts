/** Errors and limits of ONNX Runtime that Pith works around: versions in which they were seen, and what happens. `test/core/engine/quirks.ts` shows each. */
export const quirks = {
  "axes-of-bias": "1.30 fuses an integer product with a sum, and loses the additional axes of the bias",
  "bfloat16-product": "1.30 has no Mul of bfloat16",
  "cast-before-product": "1.24 to 1.30 crashes on x64 at a Cast between a Transpose of the batch axis and a product",
  "dilated-average": "1.30 fuses a dilated AveragePool of integers into QLinearAveragePool, which has no dilations",
  "empty-attention": "1.30 rejects an Attention without queries",
  "empty-window": "1.30 rejects a pool over an empty axis",
  "gap-in-outputs": "1.30 crashes on a Split whose outputs have a gap",
  "half-statistics": "1.30 overwrites the stored float16 statistics of a BatchNormalization in training mode",
  "level-in-branch":
    "1.24 to 1.30 computes zeros for a float16 MatMulNBits with accuracy_level in a branch, next to operators without float16 kernel",
  "odd-zero-points": "1.24 reads 4-bit zero points of GatherBlockQuantized as if their rows were not aligned to bytes",
  "padding-of-pool": "1.30 rejects a pool whose padding is as large as its window",
  "scales-of-rows": "1.30 fuses a product with a weight of integers into QLinearMatMul, which rejects scales of rows",
  "stored-padding": "1.30 fuses a Pad with stored numbers into a pool, and rejects padding as large as the window",
  "two-bit-products": "1.30 computes wrong products with 2-bit weights of DequantizeLinear if outputs % 4 ≠ 0",
  "web-bfloat16": "Web 1.30 has no Cast of bfloat16 in its build for WebGPU",
  "web-lookup": "Web 1.30 has no GatherBlockQuantized in its build for WebGPU",
  "weight-in-branch": "1.30 does not find the outer weight of a DequantizeLinear that a MatMul in a branch reads",
};

export type QuirkId = keyof typeof quirks;
