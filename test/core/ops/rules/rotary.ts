import type { RuleExample } from "./example.ts";

interface Parts {
  readonly opset?: number;
  /** The angles of x, batch × 3 × 2. */
  readonly angles?: string;
  readonly cos?: string;
  readonly step?: number;
  readonly half?: number;
}

/** Rotates 2 heads of width 4 at 3 positions. */
const rotation = ({
  opset = 23,
  angles = "batch, 3, 2",
  cos = "Cos(e)",
  step = 1,
  half = 2,
}: Parts = {}) => `opset ${opset}
graph (x: float32[batch, 2, 3, 4], a: float32[${angles}]) -> (y) {
  start: int64[1] = [0]
  half: int64[1] = [${half}]
  end: int64[1] = [9223372036854775807]
  axis: int64[1] = [3]
  step: int64[1] = [${step}]
  one: int64[1] = [1]
  e = Concat(a, a) {axis=-1}
  c = ${cos}
  s = Sin(e)
  cu = Unsqueeze(c, one)
  su = Unsqueeze(s, one)
  second = Slice(x, half, end, axis, step)
  first = Slice(x, start, half, axis, step)
  n = Neg(second)
  t = Concat(n, first) {axis=-1}
  p = Mul(x, cu)
  q = Mul(su, t)
  y = Add(p, q)
}`;

/** Splits 2 heads of width 4, rotates them, and merges them again. */
const heads = ({ split = "0, 0, 2, 4", perm = "0, 2, 1, 3", outputs = "y" } = {}) => `opset 23
graph (x: float32[batch, 3, 8], c: float32[batch, 3, 2], s: float32[batch, 3, 2]) -> (${outputs}) {
  split: int64[4] = [${split}]
  merged: int64[3] = [0, 0, 8]
  h = Reshape(x, split)
  t = Transpose(h) {perm=[${perm}]}
  r = RotaryEmbedding(t, c, s)
  b = Transpose(r) {perm=[0, 2, 1, 3]}
  y = Reshape(b, merged)
}`;

export const rotaries: readonly RuleExample[] = [
  {
    rule: "rotary-embedding",
    fires: {
      "angles that are repeated": rotation(),
      "scaled cosines": rotation({ cos: "Mul(ce, k)" }).replace(
        "  c = Mul",
        "  k: float32[] = [1.5]\n  ce = Cos(e)\n  c = Mul",
      ),
    },
    keeps: {
      "an opset without the operator": rotation({ opset: 21 }),
      "cosines whose halves differ": rotation({ cos: "Concat(s, a, a) {axis=-1}" })
        .replace("s = Sin(e)", "")
        .replace("c = Concat(s, a, a)", "s = Sin(e)\n  b = Cos(a)\n  c = Concat(b, a)"),
      "angles of all samples": rotation({ angles: "1, 3, 2" }),
      "parts of unequal width": rotation({ half: 1 }),
    },
    sizes: { batch: 2 },
  },
  {
    rule: "rotary-heads",
    fires: { "a split of the last axis": heads() },
    keeps: {
      "heads that are an output": heads({ outputs: "y, t" }),
      "tokens that are split": heads({ split: "0, 2, 3, 4", perm: "0, 1, 2, 3" }),
    },
    sizes: { batch: 2 },
  },
];
