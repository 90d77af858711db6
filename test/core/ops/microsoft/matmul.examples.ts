import { type Example, table } from "../define.examples.ts";

const activations = { misses: { weight: "both operands are activations", quantize: "both operands are activations" } };
const withBias = "w: float32[3, 4] = random(seed 1); b: float32[4] = random(seed 2);";

export const microsoftMatmulExamples: readonly Example[] = [
  ...table(activations)`
    FusedMatMul of matrices | (a: float32[batch, 3], b: float32[3, 4]) y = com.microsoft.FusedMatMul(a, b)
    FusedMatMul of a transposed stack, scaled |
      (a: float32[batch, 3, 4], b: float32[batch, 3, 5]) y = com.microsoft.FusedMatMul(a, b) {transA=1, alpha=0.5}
    FusedMatMul with both transposed |
      (a: float32[2, 4, 3], b: float32[5, 4]) y = com.microsoft.FusedMatMul(a, b) {transA=1, transB=1}
    FusedMatMul with transposed batch axes |
      (a: float32[2, 3, 4], b: float32[3, 4, 5]) y = com.microsoft.FusedMatMul(a, b) {transBatchA=1}
    FusedMatMul with every transposition |
      (a: float32[4, 3, 2, 5], b: float32[6, 3, 2, 4]) y = com.microsoft.FusedMatMul(a, b)
      {transBatchA=1, transA=1, transBatchB=1, transB=1}
  `,
  ...table()`
    FusedMatMul with a stored weight |
      (x: float32[batch, 5, 3]) w: float32[4, 3] = random(seed 1); y = com.microsoft.FusedMatMul(x, w) {transB=1}
    FusedMatMul with a stored weight and a factor |
      (x: float32[batch, 5, 3]) w: float32[3, 4] = random(seed 1); y = com.microsoft.FusedMatMul(x, w) {alpha=2.0}
    FusedMatMul of transposed data with a stored weight |
      (x: float32[batch, 3, 5]) w: float32[3, 4] = random(seed 1); y = com.microsoft.FusedMatMul(x, w) {transA=1}
      | no quantize: the data operand is transposed
    FusedGemm with Relu | (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Relu"}
    FusedGemm with scaled terms and LeakyRelu |
      (x: float32[batch, 3]) w: float32[4, 3] = random(seed 1); b: float32[1, 4] = random(seed 2); y = com.microsoft.FusedGemm(x, w, b)
      {transB=1, alpha=0.5, beta=2.0, activation="LeakyRelu", activation_alpha=0.1}
    FusedGemm with Sigmoid | (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Sigmoid"}
    FusedGemm with Tanh | (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Tanh"}
    FusedGemm with Softplus | (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Softplus"}
    FusedGemm with Softsign | (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Softsign"}
    FusedGemm with HardSigmoid |
      (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b)
      {activation="HardSigmoid", activation_alpha=0.25, activation_beta=0.5}
    FusedGemm with Elu |
      (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b) {activation="Elu", activation_alpha=0.5}
    FusedGemm with Selu |
      (x: float32[batch, 3]) ${withBias} y = com.microsoft.FusedGemm(x, w, b)
      {activation="Selu", activation_alpha=1.67, activation_gamma=1.05}
    FusedGemm of activations |
      (a: float32[3, batch], b: float32[3, 4]) y = com.microsoft.FusedGemm(a, b) {transA=1, activation="Relu"} | no weight: no stored matrix
  `,
];
