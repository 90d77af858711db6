import type { RuleExample } from "./example.ts";

const vectors = (lines: string, type = "float32") => `graph (x: ${type}[batch, 6, 4]) -> (y) {
  two: ${type}[] = [2]
  three: ${type}[] = [3]
  large: ${type}[] = [2000000000]
  a: ${type}[4] = [1, -2, 3, 5]
  b: ${type}[1, 4] = [4, 2, -1, 7]
  rows: ${type}[6, 1] = [1, 2, 3, 4, 5, 6]
${lines}
}`;

const floats = (lines: string) => `graph (x: float32[batch, 6, 4]) -> (y) {
  third: float32[] = [0.33333334]
  huge: float32[] = [1e20]
  zero: float32[] = [0]
  a: float32[4] = [0.5, -2, 3.25, 1]
  negated: float32[4] = [-0.5, 2, -3.25, -1.01]
${lines}
}`;

const long = (lines: string) => `graph (x: float32[batch, 20, 30]) -> (y) {
  rows: float32[20, 1] = random(seed 1, from 1 to 2)
  columns: float32[30] = random(seed 2, from 1 to 2)
${lines}
}`;

const normalized = (lines: string, scale = "[1, 1, 1, 1]") => `graph (x: float32[batch, 6, 4]) -> (y) {
  scale: float32[4] = ${scale}
  bias: float32[4] = [0.5, 1, -1, 2]
  channel_scale: float32[6] = [1, 1, 1, 1, 1, 1]
  channel_bias: float32[6] = [0, 0, 0, 0, 0, 0]
  variances: float32[6] = [1, 2, 3, 1, 2, 3]
  a: float32[4] = [0.5, -2, 3, 1]
  b: float32[1, 1, 4] = [-0.25, 3, 1, 0.5]
  rows: float32[6, 1] = [1, 2, 3, 4, 5, 6]
  cancel: float32[4] = [-0.5, -1, 1, -2]
  huge: float32[4] = [1e30, 1, 1, 1]
${lines}
}`;

export const arithmetic: readonly RuleExample[] = [
  {
    rule: "stored-factors",
    fires: {
      "a number and a vector": floats("  h = Mul(third, x)\n  y = Mul(h, a)"),
      "a product and a quotient": floats("  h = Mul(x, a)\n  y = Div(h, third)"),
      "a quotient and its negation": floats("  h = Div(x, a)\n  y = Neg(h)"),
      "vectors of several ranks": vectors("  h = Mul(x, a)\n  y = Mul(b, h)"),
      integers: vectors("  h = Mul(x, two)\n  y = Mul(h, rows)", "int32"),
      "a factor of zero": floats("  h = Mul(x, zero)\n  y = Mul(h, a)"),
    },
    keeps: {
      "factors whose products can overflow": floats("  h = Mul(x, huge)\n  y = Mul(h, third)"),
      "a quotient by zero": floats("  h = Mul(x, a)\n  y = Div(h, zero)"),
      "a stored dividend": floats("  h = Div(a, x)\n  y = Mul(h, third)"),
      "a value that another node reads": floats("  h = Mul(x, a)\n  p = Mul(h, third)\n  y = Add(p, h)"),
      "integers that overflow": vectors("  h = Mul(x, large)\n  y = Mul(h, three)", "int32"),
      "division of integers": vectors("  h = Mul(x, two)\n  y = Div(h, three)", "int32"),
      "a row and a column whose product is larger": long("  h = Mul(x, rows)\n  y = Mul(h, columns)"),
      "a trainable factor": floats("  h = Mul(x, a)\n  y = Mul(h, third)").replace(
        "a: float32[4]",
        "a: float32[4] parameter",
      ),
      "a product that is quantized": floats(
        "  h = Mul(x, a)\n  p = Mul(h, third)\n  q = QuantizeLinear(p, third)\n  y = DequantizeLinear(q, third)",
      ),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "stored-terms",
    fires: {
      "two sums": floats("  h = Add(x, a)\n  y = Add(third, h)"),
      "two differences": floats("  h = Sub(x, a)\n  y = Sub(h, third)"),
      "a difference from a vector": floats("  h = Sub(a, x)\n  y = Add(h, third)"),
      "differences that restore the sign": floats("  h = Sub(a, x)\n  y = Sub(third, h)"),
      "a negated sum": floats("  h = Add(x, a)\n  y = Neg(h)"),
      "a sum with negated data": floats("  h = Neg(x)\n  y = Add(h, a)"),
      integers: vectors("  h = Sub(x, a)\n  y = Add(h, b)", "int64"),
    },
    keeps: {
      "terms that cancel": floats("  h = Add(x, a)\n  y = Add(h, negated)"),
      "a product after a sum": floats("  h = Add(x, a)\n  y = Mul(h, third)"),
      "a value that is an output": `graph (x: float32[batch, 4]) -> (y, h) {
  a: float32[4] = [0.5, -2, 3.25, 1]
  h = Add(x, a)
  y = Add(h, a)
}`,
      "integers that overflow": vectors("  h = Add(x, large)\n  y = Add(h, large)", "int32"),
      "a row and a column whose sum is larger": long("  h = Add(x, rows)\n  y = Add(h, columns)"),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "normalization-vectors",
    fires: {
      "a factor after LayerNormalization": normalized("  h = LayerNormalization(x, scale) {axis=-1}\n  y = Mul(a, h)"),
      "a factor after a scale and a bias": normalized(
        "  h = LayerNormalization(x, scale, bias) {epsilon=0.01}\n  y = Mul(h, b)",
        "[2, 3, -1, 0.5]",
      ),
      "a second bias": normalized("  h = LayerNormalization(x, scale, bias)\n  y = Sub(h, a)"),
      "a factor and a bias per channel": normalized(
        "  h = InstanceNormalization(x, channel_scale, channel_bias)\n  f = Mul(h, rows)\n  y = Add(f, rows)",
      ),
      "a quotient after GroupNormalization": normalized(
        "  h = GroupNormalization(x, channel_scale, channel_bias) {num_groups=2}\n  y = Div(h, rows)",
      ),
      "a factor after RMSNormalization": `opset 23\n${normalized("  h = RMSNormalization(x, scale)\n  y = Mul(h, a)")}`,
      "a difference after batch normalization": normalized(
        "  h = BatchNormalization(x, channel_scale, channel_bias, channel_bias, variances)\n  y = Sub(rows, h)",
      ),
    },
    keeps: {
      "a vector of another axis": normalized("  h = LayerNormalization(x, scale, bias)\n  y = Mul(h, rows)"),
      "a vector along positions": normalized(
        "  h = InstanceNormalization(x, channel_scale, channel_bias)\n  y = Mul(h, a)",
      ),
      "a bias that cancels": normalized(
        "  h = LayerNormalization(x, scale, bias)\n  y = Add(h, cancel)",
        "[0.001, 0, 0, 0]",
      ),
      "a bias after RMSNormalization": `opset 23\n${normalized("  h = RMSNormalization(x, scale)\n  y = Add(h, a)")}`,
      "a scale that overflows": normalized("  h = LayerNormalization(x, scale)\n  y = Mul(h, huge)"),
      "groups that share a scale": `opset 18\n${normalized("  g: float32[2] = [1, 1]\n  h = GroupNormalization(x, g, g) {num_groups=2}\n  y = Mul(h, rows)")}`,
      "a value that another node reads": normalized(
        "  h = LayerNormalization(x, scale)\n  p = Mul(h, a)\n  y = Add(p, h)",
      ),
    },
    sizes: { batch: 3 },
    tolerance: 2e-6,
  },
];
