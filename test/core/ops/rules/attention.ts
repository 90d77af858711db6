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

interface Masked {
  /** Writes the mask `m`. */
  readonly mask: string;
  readonly inputs?: string;
  /** Writes the weights `w` from the softmax `s`. */
  readonly weights?: string;
}

const masked = ({ mask, inputs = "c: bool[batch, 1, 3, 5]", weights = "" }: Masked) => `opset 23
graph (q: float32[batch, 2, 3, 4], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 4], ${inputs}) -> (y) {
  f: float32[] = [0.7]
  zero: float32[] = [0]
  ${mask}
  a = Mul(q, f)
  t = Transpose(k) {perm=[0, 1, 3, 2]}
  b = Mul(t, f)
  p = MatMul(a, b)
  d = Add(m, p)
  s = Softmax(d) {axis=-1}
  ${weights}
  y = MatMul(${weights === "" ? "s" : "w"}, v)
}`;

const hides = (number: string) => `low: float32[] = [${number}]\n  m = Where(c, zero, low)`;
const lowest = "-340282346638528860000000000000000000000";
const guard = (number = "zero") => `g = IsNaN(s)\n  w = Where(g, ${number}, s)`;

/** The arithmetic of attention with a mask and 4 query heads, in which 2 heads of keys and values are repeated. */
const repeated = ({ axis = 2, value = "vr", opset = 23, outputs = "y", isGuarded = false }) => `opset ${opset}
graph (q: float32[batch, 4, 3, 4], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 4], all: float32[batch, 4, 5, 4], m: float32[1, 1, 3, 5]) -> (${outputs}) {
  axes: int64[1] = [${axis}]
  repeats: int64[5] = [${axis === 2 ? "1, 1, 2, 1, 1" : "1, 2, 1, 1, 1"}]
  merged: int64[4] = [0, 4, 5, 4]
  half: float32[] = [0.5]
  zero: float32[] = [0]
  ku = Unsqueeze(k, axes)
  ke = Expand(ku, repeats)
  kr = Reshape(ke, merged)
  vu = Unsqueeze(v, axes)
  ve = Expand(vu, repeats)
  vr = Reshape(ve, merged)
  t = Transpose(kr) {perm=[0, 1, 3, 2]}
  p = MatMul(q, t)
  d = Mul(p, half)
  b = Add(d, m)
  s = Softmax(b) {axis=-1}
  ${isGuarded ? guard() : ""}
  y = MatMul(${isGuarded ? "w" : "s"}, ${value})
}`;

/** Attention with a mask and a cache of 3 past tokens. */
const cached = ({ outputs = "y, nk, nv", axis = 2, end = "" } = {}) => `opset 23
graph (q: float32[batch, 4, 2, 4], k: float32[batch, 2, 2, 4], v: float32[batch, 2, 2, 4], pk: float32[batch, 2, 3, 4], pv: float32[batch, 2, 3, 4], m: float32[batch, 1, 2, 5]) -> (${outputs}) {
  nk = Concat(pk, k) {axis=${axis}}
  nv = Concat(pv, v) {axis=-2}
  y = Attention(q, nk, nv, m) {scale=0.5}
  ${end}
}`;

/** Attention of one input with 4 query heads, 2 key heads, a mask and a cache. */
const cachedHeads = heads("[0, 2, 1, 3]", "8")
  .replace(
    "x: float32[batch, 5, 8]",
    "x: float32[batch, 5, 8], pk: float32[batch, 1, 3, 4], pv: float32[batch, 1, 3, 4]",
  )
  .replace(/float32\[8, 8\]/g, "float32[8, 4]")
  .replace("-> (y)", "-> (y, nk, nv)")
  .replace("split: int64", "shared: int64[4] = [0, 0, 1, 4]\n  split: int64")
  .replace("Reshape(k, split)", "Reshape(k, shared)")
  .replace("Reshape(v, split)", "Reshape(v, shared)")
  .replace("a = Attention(qm, km, vm)", "a, nk, nv = Attention(qm, km, vm, _, pk, pv)");

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
      "a mask of finite numbers": masked({ mask: hides("-10000") }),
      "a mask of the lowest number, which leaves equal weights without a visible key": masked({ mask: hides(lowest) }),
      "a mask of -∞ and a guard": masked({ mask: hides("-inf"), weights: guard() }),
      "a bias of unknown content": masked({ mask: "", inputs: "m: float32[1, 2, 3, 5]" }),
      "a mask that broadcasts over queries": masked({ mask: "", inputs: "m: float32[batch, 1, 1, 5]" }),
      "a mask that broadcasts over as many queries as keys": masked({
        mask: "",
        inputs: "m: float32[batch, 1, 1, 5]",
      }).replace("float32[batch, 2, 3, 4]", "float32[batch, 2, 5, 4]"),
      "two heads for each key": repeated({}),
      "heads that alternate": repeated({ axis: 1 }),
      "values that are not repeated": repeated({ value: "all" }),
    },
    keeps: {
      "an opset without the operator": attention({ opset: 21 }),
      "a softmax over queries": attention({ axis: 2 }),
      "weights that are an output": attention({ outputs: "y, s" }),
      "a scale that is computed": attention({ scaled: "Div(p, p)" }),
      "keys that broadcast over heads": attention({
        inputs: "q: float32[batch, 2, 5, 4], k: float32[batch, 1, 5, 4], v: float32[batch, 2, 5, 4]",
      }),
      "a mask that broadcasts over keys": masked({ mask: "", inputs: "m: float32[batch, 1, 3, 1]" }),
      "a guard and a mask of unknown content": masked({ mask: "", inputs: "m: float32[1, 2, 3, 5]", weights: guard() }),
      "a guard with another number": masked({ mask: hides("-inf"), weights: guard("f") }),
      "an unknown number of heads": attention({
        inputs: "q: float32[batch, h, 5, 4], k: float32[batch, h, 5, 4], v: float32[batch, h, 5, 4]",
      }),
    },
    sizes: { batch: 2, h: 3 },
    tolerance: 1e-5,
  },
  {
    rule: "attention-rows",
    fires: { "two heads for each key": repeated({}), "a guard": repeated({ isGuarded: true }) },
    keeps: {
      "an opset without the operator": repeated({ opset: 21 }),
      "heads that alternate": repeated({ axis: 1 }),
      "values that are not repeated": repeated({ value: "all" }),
      "weights that are an output": repeated({ outputs: "y, s" }),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
  {
    rule: "attention-cache",
    fires: { "a cache that is an output": cached(), "a cache that is not": cached({ outputs: "y" }) },
    keeps: {
      "another reader of the keys": cached({ outputs: "y, n", end: "n = Neg(nk)" }),
      "keys that are more heads": cached({ axis: 1 })
        .replace("pk: float32[batch, 2, 3, 4]", "pk: float32[batch, 2, 2, 4]")
        .replace(
          "k: float32[batch, 2, 2, 4], v: float32[batch, 2, 2, 4]",
          "k: float32[batch, 2, 2, 4], v: float32[batch, 4, 2, 4]",
        )
        .replace("pv: float32[batch, 2, 3, 4]", "pv: float32[batch, 4, 0, 4]")
        .replace("float32[batch, 1, 2, 5]", "float32[batch, 1, 2, 2]"),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
  {
    rule: "attention-heads",
    fires: { "one number of heads": heads("[0, 2, 1, 3]", "8"), "a cache, and fewer heads of keys": cachedHeads },
    keeps: {
      "a result whose width moves before the tokens": heads("[0, 3, 2, 1]", "10"),
      "heads that are an output": heads("[0, 2, 1, 3]", "8", "y, a"),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
];
