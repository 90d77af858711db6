import type { RuleExample } from "./example.ts";

const rows = (lines: string, dims = "batch, steps, 8") => `graph (x: float32[${dims}]) -> (y) {
  a.weight: float32[8, 8] = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  b.weight: float32[8, 4] = random(seed 3)
  b.bias: float32[4] = random(seed 4)
  t.weight: float32[4, 8] = random(seed 5)
  narrow: float32[8, 2] = random(seed 6)
  wide: float32[2, 8] = random(seed 7)
${lines}
}`;

const image = (lines: string) => `graph (x: float32[batch, 3, 7, 7]) -> (y) {
  a.weight: float32[8, 3, 1, 1] = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  b.weight: float32[4, 8, 1, 1] = random(seed 3)
  b.bias: float32[4] = random(seed 4)
  k.weight: float32[8, 3, 3, 3] = random(seed 5)
  wide.weight: float32[40, 8, 1, 1] = random(seed 6)
  g.weight: float32[4, 4, 1, 1] = random(seed 7)
${lines}
}`;

export const products: readonly RuleExample[] = [
  {
    rule: "chained-products",
    fires: {
      "two MatMul": rows("  h = MatMul(x, a.weight)\n  y = MatMul(h, b.weight)"),
      "two Gemm with biases": rows(
        "  h = Gemm(x, a.weight, a.bias)\n  y = Gemm(h, t.weight, b.bias) {transB=1}",
        "batch, 8",
      ),
      "Gemm and MatMul": rows("  h = Gemm(x, a.weight, a.bias) {transB=1}\n  y = MatMul(h, b.weight)", "batch, 8"),
    },
    keeps: {
      "a factorized matrix": rows("  h = MatMul(x, narrow)\n  y = MatMul(h, wide)"),
      "another reader": rows("  h = MatMul(x, a.weight)\n  p = MatMul(h, a.weight)\n  y = Add(h, p)"),
      "a shared weight": rows(
        "  h = MatMul(x, a.weight)\n  p = MatMul(h, b.weight)\n  q = MatMul(x, b.weight)\n  y = Add(p, q)",
      ),
      "a scaled product": rows("  h = Gemm(x, a.weight) {alpha=2.0}\n  y = Gemm(h, b.weight)", "batch, 8"),
      "a masked weight": rows("  h = MatMul(x, a.weight)\n  y = MatMul(h, b.weight)").replace(
        "  h = MatMul(x, a.weight)",
        "  m: float32[8, 8] mask = random(seed 9)\n  w = Mul(a.weight, m)\n  h = MatMul(x, w)",
      ),
    },
    sizes: { batch: 3, steps: 2 },
    tolerance: 1e-5,
  },
  {
    rule: "chained-convolutions",
    fires: {
      "two 1 × 1 kernels": image("  h = Conv(x, a.weight)\n  y = Conv(h, b.weight)"),
      "biases and strides": image(
        "  h = Conv(x, k.weight, a.bias) {pads=[1, 1, 1, 1], strides=[2, 1]}\n  y = Conv(h, b.weight, b.bias) {strides=[1, 2]}",
      ),
      "a kernel with dilations": image(
        "  h = Conv(x, k.weight, a.bias) {pads=[1, 0, 1, 2], dilations=[2, 2]}\n  y = Conv(h, b.weight)",
      ),
    },
    keeps: {
      "padding between the two": image("  h = Conv(x, a.weight)\n  y = Conv(h, b.weight) {pads=[1, 1, 1, 1]}"),
      "a larger result": image("  h = Conv(x, k.weight)\n  y = Conv(h, wide.weight)"),
      groups: image("  h = Conv(x, a.weight)\n  y = Conv(h, g.weight) {group=2}"),
      "another reader": image(
        "  h = Conv(x, a.weight)\n  c = Conv(h, b.weight)\n  m = ReduceMean(h) {keepdims=0}\n  y = Add(c, m)",
      ),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
];
