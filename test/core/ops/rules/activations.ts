import type { RuleExample } from "./example.ts";

const erf = (body: string, constants = "root: float32[] = [1.4142135]") => `graph (x: float32[batch, 8]) -> (y) {
  ${constants}
  one: float32[] = [1]
  half: float32[] = [0.5]
${body}
}`;

const tanh = (cubic: string) => `graph (x: float32[batch, 8]) -> (y) {
  three: float32[] = [3]
  cubic: float32[] = [${cubic}]
  root: float32[] = [0.7978846]
  one: float32[] = [1]
  half: float32[] = [0.5]
  x3 = Pow(x, three)
  c = Mul(x3, cubic)
  a = Add(x, c)
  r = Mul(a, root)
  t = Tanh(r)
  s = Add(t, one)
  p = Mul(x, s)
  y = Mul(p, half)
}`;

const swish = (attributes: string) => `graph (x: float32[batch, 8]) -> (y) {
  s = HardSigmoid(x) ${attributes}
  y = Mul(x, s)
}`;

export const activations: readonly RuleExample[] = [
  {
    rule: "gelu",
    fires: {
      "a quotient by √2": erf(
        "  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(x, s)\n  y = Mul(p, half)",
      ),
      "a product with √½, and 0.5 first": erf(
        "  d = Mul(x, root)\n  e = Erf(d)\n  s = Add(one, e)\n  p = Mul(half, x)\n  y = Mul(p, s)",
        "root: float32[] = [0.70710677]",
      ),
      "x last": erf("  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(s, half)\n  y = Mul(x, p)"),
    },
    keeps: {
      "another factor": erf(
        "  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(x, s)\n  y = Mul(p, half)",
        "root: float32[] = [1.41]",
      ),
      "another reader of erf": erf(
        "  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(x, s)\n  h = Mul(p, half)\n  y = Add(h, e)",
      ),
      "a product with another value": erf(
        "  n = Neg(x)\n  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(n, s)\n  y = Mul(p, half)",
      ),
      "an opset without Gelu": `opset 19\n${erf("  d = Div(x, root)\n  e = Erf(d)\n  s = Add(e, one)\n  p = Mul(x, s)\n  y = Mul(p, half)")}`,
    },
    sizes: { batch: 3 },
  },
  {
    rule: "gelu-tanh",
    fires: { "the cubic approximation": tanh("0.044715") },
    keeps: { "another cubic factor": tanh("0.0447") },
    sizes: { batch: 3 },
  },
  {
    rule: "hard-swish",
    fires: { "a slope of 1/6": swish("{alpha=0.16666667, beta=0.5}") },
    keeps: {
      "the default slope": swish("{alpha=0.2, beta=0.5}"),
      "another offset": swish("{alpha=0.16666667, beta=0.4}"),
    },
    sizes: { batch: 3 },
  },
];
