import { type Example, example, table } from "./define.examples.ts";

const activations = { misses: { weight: "both operands are activations", quantize: "both operands are activations" } };
const vector = { ...activations, misses: { ...activations.misses, axes: "a vector is multiplied" } };
const product = (title: string, a: string, b: string, more = activations): Example =>
  example(title, `(a: float32[${a}], b: float32[${b}]) y = MatMul(a, b)`, more);

const codes = { feeds: { x: { from: 0, to: 256 }, w: { from: -128, to: 128 } } };

export const matmulExamples: readonly Example[] = [
  ...table()`
    MatMul with a stored weight | (x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); y = MatMul(x, w)
    MatMul of a sequence with a stored weight | (x: float32[batch, 5, 3]) w: float32[3, 4] = random(seed 1); y = MatMul(x, w)
    MatMul with a stored weight on the left |
      (x: float32[3, 5]) w: float32[4, 3] = random(seed 1); y = MatMul(w, x) | no quantize: the weight is the left operand
    MatMul with stored matrices of a batch |
      (x: float32[2, 3, 4]) w: float32[2, 4, 2] = random(seed 1); y = MatMul(x, w) | no quantize: not a matrix
    MatMul with stored matrices on the left, that a batch shares |
      (x: float32[3, 1, 4, 2]) w: float32[2, 5, 4] = random(seed 1); y = MatMul(w, x) | no quantize: not a matrix
    MatMul with stored frequencies | (x: float32[2, 1, 3]) w: float32[1, 4, 1] = random(seed 1); y = MatMul(w, x) | no weight: not a matrix | no quantize: not a matrix
    Gemm as layers are stored |
      (x: float32[batch, 3]) w: float32[4, 3] = random(seed 1); b: float32[4] = random(seed 2); y = Gemm(x, w, b) {transB=1}
    Gemm with scaled terms |
      (x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); b: float32[1, 4] = random(seed 2); y = Gemm(x, w, b) {alpha=0.5, beta=2.0}
    Gemm with a scaled bias |
      (x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); b: float32[4] = random(seed 2); y = Gemm(x, w, b) {beta=0.5}
    Gemm without bias | (x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); y = Gemm(x, w)
    Gemm with transposed data |
      (x: float32[3, 2]) w: float32[3, 4] = random(seed 1); y = Gemm(x, w) {transA=1} | no quantize: the data operand is transposed
    Gemm with a stored weight on the left |
      (x: float32[3, 5]) w: float32[3, 4] = random(seed 1); y = Gemm(w, x) {transA=1} | no quantize: the weight is the left operand
    Gemm with a bias that is computed |
      (x: float32[batch, 3], c: float32[batch, 1]) w: float32[3, 4] = random(seed 1); y = Gemm(x, w, c) {alpha=0.0}
      | no quantize: multiplies its product by 0 (alpha)
    Gemm of opset 9, with transposed data and a scaled bias |
      opset 9 (x: float32[3, batch]) w: float32[4, 3] = random(seed 1); b: float32[4] = random(seed 2); y = Gemm(x, w, b)
      {transA=1, transB=1, beta=2.0} | no quantize: the data operand is transposed
    Gemm of opset 7 | opset 7 (x: float32[batch, 3]) w: float32[3, 4] = random(seed 1); b: float32[4] = zeros; y = Gemm(x, w, b)
    Gemm of opset 6 |
      opset 6 (x: float32[2, 3]) w: float32[3, 4] = random(seed 1); b: float32[4] = zeros; y: float32[2, 4] = Gemm(x, w, b)
      {broadcast=1} | except run: ONNX Runtime has no kernels for what was superseded before opset 7
    MatMulInteger without zero points | (x: uint8[batch, 2, 3], w: uint8[3, 4]) y = MatMulInteger(x, w)
    MatMulInteger with a zero point per column |
      (x: uint8[batch, 3]) w: int8[3, 2] = [1, -2, 3, 4, -5, 6]; zx: uint8[] = 3; zw: int8[2] = [1, -1];
      y = MatMulInteger(x, w, zx, zw)
  `,
  product("MatMul of matrices", "batch, 3", "3, 4"),
  product("MatMul of stacks", "batch, 2, 3, 4", "batch, 2, 4, 5"),
  product("MatMul broadcasting a stack", "batch, 1, 3, 4", "3, 4, 2"),
  product("MatMul of a matrix with a stack", "2, 3", "batch, 3, 4"),
  product("MatMul of a matrix with a vector", "batch, 3", "3", vector),
  product("MatMul of a vector with a matrix", "3", "3, 4", vector),
  product("MatMul of a vector with a stack", "3", "2, 3, 4", vector),
  product("MatMul of a stack with a vector", "batch, 2, 3", "3", vector),
  product("MatMul of vectors", "3", "3", vector),
  product("MatMul over an empty axis", "2, 0", "0, 3"),
  ...table(activations)`
    Gemm of transposed activations | (a: float32[3, batch], b: float32[4, 3]) y = Gemm(a, b) {transA=1, transB=1}
    Gemm of a transposed activation | (a: float32[3, batch], b: float32[3, 4]) y = Gemm(a, b) {transA=1, alpha=-2.0}
    Gemm with a bias per row | (a: float32[2, 3], b: float32[3, 4], c: float32[2, 1]) y = Gemm(a, b, c)
    Gemm with a scalar bias | (a: float32[2, 3], b: float32[3, 4], c: float32[]) y = Gemm(a, b, c) {beta=3.0}
  `,
  ...table(codes)`
    MatMulInteger with zero points | (x: uint8[batch, 3], w: int8[3, 4], zx: uint8[], zw: int8[]) y = MatMulInteger(x, w, zx, zw)
  `,
];
