import type { RuleExample } from "./example.ts";

const rows = (lines: string, dims = "batch, 6", opset = 21, type = "float32") => `opset ${opset}
graph (x: ${type}[${dims}]) -> (y) {
  w: ${type}[6, 4] = random(seed 1)
  t: ${type}[4, 6] = random(seed 2)
  bias: ${type}[4] = random(seed 3)
  row: ${type}[1, 4] = random(seed 4)
  number: ${type}[] = [0.5]
  wide: ${type}[2, 1, 4] = random(seed 5)
${lines}
}`;

const nodes = (lines: string, input = "x: float32[batch, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${lines}
}`;

const recurrent = (state: string, reader = "  o, y = GRU(x, w, r, _, _, h) {hidden_size=3}") =>
  nodes(
    `
    w: float32[1, 9, 4] = random(seed 1)
    r: float32[1, 9, 3] = random(seed 2)
    one: int64[1] = [1]
    two: int64[1] = [2]
    size: int64[1] = [3]
    none: float32[1, 1, 3] = [0, 0, 0]
    start: float32[1, 1, 3] = [0, 0.5, 0]
    s = Shape(x)
    b = Slice(s, one, two)
    d = Concat(one, b, size) {axis=0}
${state}
${reader}`,
    "x: float32[5, batch, 4]",
  );

export const math: readonly RuleExample[] = [
  {
    rule: "gemm",
    fires: {
      "a bias": rows("  p = MatMul(x, w)\n  y = Add(p, bias)"),
      "a row in front": rows("  p = MatMul(x, w)\n  y = Add(row, p)"),
      "one number": rows("  p = MatMul(x, w)\n  y = Add(p, number)"),
      "a computed column": rows("  c = ReduceMax(x) {axes=[1]}\n  p = MatMul(x, w)\n  y = Add(p, c)", "batch, 6", 13),
    },
    keeps: {
      "a stack": rows("  p = MatMul(x, w)\n  y = Add(p, bias)", "batch, 3, 6"),
      "a bias with more axes": rows("  p = MatMul(x, w)\n  y = Add(p, wide)"),
      "another reader": rows("  p = MatMul(x, w)\n  s = Add(p, bias)\n  y = Mul(p, s)"),
      "a term that repeats the product": rows(
        "  m: float32[3, 4] = random(seed 6)\n  p = MatMul(x, w)\n  y = Add(p, m)",
        "1, 6",
      ),
      float16: rows("  p = MatMul(x, w)\n  y = Add(p, bias)", "batch, 6", 21, "float16"),
    },
    sizes: { batch: 3 },
    tolerance: 1e-5,
  },
  {
    rule: "transposed-gemm",
    fires: {
      "the right operand": rows("  m = Transpose(t)\n  y = Gemm(x, m, bias)"),
      "the left operand": rows("  m = Transpose(x)\n  y = Gemm(m, w)", "6, batch"),
      "a transposition that cancels": rows("  m = Transpose(w) {perm=[1, 0]}\n  y = Gemm(x, m) {transB=1}"),
    },
    keeps: {
      "the bias": rows("  m = Transpose(z)\n  y = Gemm(x, w, m)", "batch, 6").replace(
        "(x: float32[batch, 6])",
        "(x: float32[batch, 6], z: float32[4, batch])",
      ),
      "another reader": rows("  m = Transpose(x)\n  g = Gemm(m, t) {transB=1}\n  y = MatMul(g, m)", "6, 4"),
    },
    sizes: { batch: 4 },
    tolerance: 1e-5,
  },
  {
    rule: "wider-cast",
    fires: {
      "integers through floats": nodes(
        "  f = Cast(x) {to=1}\n  i = Cast(f) {to=7}\n  y = Neg(i)",
        "x: uint8[batch, 8]",
      ),
      "a float through a double": nodes("  d = Cast(x) {to=11}\n  f = Cast(d) {to=1}\n  y = Exp(f)"),
      "a type like another value's": nodes(
        "  z: float64[] = [0]\n  d = CastLike(x, z)\n  y = Cast(d) {to=6}",
        "x: float32[batch, 8]",
      ),
    },
    keeps: {
      "a float through an integer": nodes("  i = Cast(x) {to=7}\n  y = Cast(i) {to=1}"),
      "a long integer through a float": nodes("  f = Cast(x) {to=1}\n  y = Cast(f) {to=7}", "x: int64[batch, 8]"),
      "a float through a half": nodes("  h = Cast(x) {to=10}\n  y = Cast(h) {to=1}"),
      "a signed integer through an unsigned one": nodes(
        "  u = Cast(x) {to=13}\n  y = Cast(u) {to=7}",
        "x: int32[batch, 8]",
      ),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "zero-state",
    fires: {
      "zeros of a computed shape": recurrent("  h = ConstantOfShape(d)"),
      "stored zeros that are repeated": recurrent("  h = Expand(none, d)"),
      "both states of an LSTM": nodes(
        `
        w: float32[1, 12, 4] = random(seed 1)
        r: float32[1, 12, 3] = random(seed 2)
        d: int64[3] = [1, 2, 3]
        h = ConstantOfShape(d)
        c = ConstantOfShape(d) {value=float32[1] [0]}
        o, y = LSTM(x, w, r, _, _, h, c) {hidden_size=3}`,
        "x: float32[5, 2, 4]",
      ),
    },
    keeps: {
      "ones of a computed shape": recurrent("  h = ConstantOfShape(d) {value=float32[1] [1]}"),
      "a stored state that is not zero": recurrent("  h = Expand(start, d)"),
      "a state that is an input": nodes(
        `
        w: float32[1, 9, 4] = random(seed 1)
        r: float32[1, 9, 3] = random(seed 2)
        h = Transpose(z) {perm=[1, 0, 2]}
        o, y = GRU(x, w, r, _, _, h) {hidden_size=3}`,
        "x: float32[5, batch, 4], z: float32[batch, 1, 3]",
      ),
    },
    sizes: { batch: 3 },
  },
];
