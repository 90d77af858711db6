import type { RuleExample } from "./example.ts";

interface Form {
  readonly opset?: number;
  readonly axes?: string;
  readonly exponent?: number;
  readonly scale?: string;
  readonly end?: string;
}

const layer = ({
  opset = 21,
  axes = "[-1]",
  exponent = 2,
  scale = "float32[8]",
  end = "y = Mul(n, scale)",
}: Form = {}) => `opset ${opset}
graph (x: float32[batch, 4, 8]) -> (y) {
  axes: int64[1] = ${axes}
  exponent: float32[] = [${exponent}]
  epsilon: float32[] = [0.00001]
  scale: ${scale} = random(seed 1)
  bias: float32[8] = random(seed 2)
  m = ReduceMean(x, axes)
  d = Sub(x, m)
  q = Pow(d, exponent)
  v = ReduceMean(q, axes)
  e = Add(v, epsilon)
  r = Sqrt(e)
  n = Div(d, r)
  ${end}
}`;

const rms = (opset: number, end: string, inverse = "Reciprocal(r)") => `opset ${opset}
graph (x: float32[batch, 4, 8]) -> (y) {
  axes: int64[1] = [-1]
  epsilon: float32[] = [0.00001]
  scale: float32[8] = random(seed 1)
  q = Mul(x, x)
  v = ReduceMean(q, axes)
  e = Add(v, epsilon)
  r = Sqrt(e)
  i = ${inverse}
  n = Mul(x, i)
  ${end}
}`;

const biased = (
  bias: string,
  norm = "n = LayerNormalization(x, scale) {axis=-1}",
) => `graph (x: float32[batch, 8]) -> (y) {
  scale: float32[8] = random(seed 1)
  bias: ${bias} = random(seed 2)
  ${norm}
  y = Add(bias, n)
}`;

export const normalizations: readonly RuleExample[] = [
  {
    rule: "layer-normalization",
    fires: {
      "a power and a quotient": layer(),
      "a bias after it": layer({ end: "s = Mul(scale, n)\n  y = Add(s, bias)" }),
    },
    keeps: {
      "another axis": layer({ axes: "[1]" }),
      "a third power": layer({ exponent: 3 }),
      "a scale of another shape": layer({ scale: "float32[4, 1]" }),
      "another reader of the deviation": layer({ end: "s = Mul(n, scale)\n  y = Add(s, d)" }),
      "an opset without the operator": `${layer({ opset: 18 })
        .replace("opset 18", "opset 16")
        .replace(/ReduceMean\((.), axes\)/g, "ReduceMean($1) {axes=[-1]}")
        .replace("  axes: int64[1] = [-1]\n", "")}`,
    },
    sizes: { batch: 3 },
  },
  {
    rule: "rms-normalization",
    fires: {
      "a product with the reciprocal": rms(23, "y = Mul(n, scale)"),
      "a product with 1 / root": rms(23, "y = Mul(n, scale)", "Div(one, r)").replace(
        "epsilon:",
        "one: float32[] = [1]\n  epsilon:",
      ),
    },
    keeps: {
      "a product with 2 / root": rms(23, "y = Mul(n, scale)", "Div(one, r)").replace(
        "epsilon:",
        "one: float32[] = [2]\n  epsilon:",
      ),
      "an opset without the operator": rms(21, "y = Mul(n, scale)"),
      "a graph output inside": rms(23, "h = Mul(n, scale)\n  y = Add(h, r)"),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "normalization-bias",
    fires: { "a bias of the same shape": biased("float32[8]") },
    keeps: {
      "a scalar": biased("float32[]"),
      "a matrix": biased("float32[2, 8]").replace("batch", "2"),
      "a bias that is there already": biased("float32[8]", "n = LayerNormalization(x, scale, scale) {axis=-1}"),
    },
    sizes: { batch: 3 },
  },
];
