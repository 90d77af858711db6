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
];
