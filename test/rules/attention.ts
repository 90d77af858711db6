import type { RuleExample } from "./example.ts";

interface Parts {
  readonly opset?: number;
  readonly inputs?: string;
  readonly transposed?: string;
  readonly scaled?: string;
  readonly axis?: number;
  readonly outputs?: string;
}

/** Attention over 2 heads of width 4. */
const attention = ({
  opset = 23,
  inputs = "q: float32[batch, 2, 5, 4], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 4]",
  transposed = "Transpose(k) {perm=[0, 1, 3, 2]}",
  scaled = "Div(p, c)",
  axis = -1,
  outputs = "y",
}: Parts) => `opset ${opset}
graph (${inputs}) -> (${outputs}) {
  c: float32[] = [2]
  t = ${transposed}
  p = MatMul(q, t)
  d = ${scaled}
  s = Softmax(d) {axis=${axis}}
  y = MatMul(s, v)
}`;

/** Attention of one input with 2 heads of width 4. @param perm axes of the transposition after it. */
const heads = (perm: string, width: string, outputs = "y") => `opset 23
graph (x: float32[batch, 5, 8]) -> (${outputs}) {
  w: float32[8, 8] = random(seed 1)
  u: float32[8, 8] = random(seed 2)
  split: int64[4] = [0, 0, 2, 4]
  merged: int64[3] = [0, 0, ${width}]
  k = MatMul(x, w)
  v = MatMul(x, u)
  qs = Reshape(x, split)
  ks = Reshape(k, split)
  vs = Reshape(v, split)
  qm = Transpose(qs) {perm=[0, 2, 1, 3]}
  km = Transpose(ks) {perm=[0, 2, 1, 3]}
  vm = Transpose(vs) {perm=[0, 2, 1, 3]}
  a = Attention(qm, km, vm) {scale=0.5}
  m = Transpose(a) {perm=${perm}}
  y = Reshape(m, merged)
}`;

export const attentions: readonly RuleExample[] = [
  {
    rule: "attention",
    fires: {
      "a quotient": attention({}),
      "a product": attention({ scaled: "Mul(c, p)", axis: 3 }),
      "no scale": attention({ scaled: "Identity(p)" })
        .replace("  d = Identity(p)\n", "")
        .replace("Softmax(d)", "Softmax(p)"),
      "keys whose heads are moved": attention({
        inputs: "q: float32[batch, 2, 5, 4], k: float32[batch, 5, 2, 4], v: float32[batch, 2, 5, 4]",
        transposed: "Transpose(k) {perm=[0, 2, 3, 1]}",
      }),
    },
    keeps: {
      "an opset without the operator": attention({ opset: 21 }),
      "a softmax over queries": attention({ axis: 2 }),
      "weights that are an output": attention({ outputs: "y, s" }),
      "a scale that is computed": attention({ scaled: "Div(p, p)" }),
      "keys that broadcast over heads": attention({
        inputs: "q: float32[batch, 2, 5, 4], k: float32[batch, 1, 5, 4], v: float32[batch, 2, 5, 4]",
      }),
      "an unknown number of heads": attention({
        inputs: "q: float32[batch, h, 5, 4], k: float32[batch, h, 5, 4], v: float32[batch, h, 5, 4]",
      }),
    },
    sizes: { batch: 2, h: 3 },
    tolerance: 1e-5,
  },
  {
    rule: "attention-heads",
    fires: { "one number of heads": heads("[0, 2, 1, 3]", "8") },
    keeps: {
      "a result whose width moves before the tokens": heads("[0, 3, 2, 1]", "10"),
      "heads that are an output": heads("[0, 2, 1, 3]", "8", "y, a"),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
];
