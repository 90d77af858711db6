import type { RuleExample } from "./example.ts";

const nodes = (body: string, input = "x: float32[batch, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${body}
}`;

const images = "x: float32[batch, 3, 6, 6]";

const pads = (first: string, second: string, attributes = "") =>
  nodes(
    `
    a: int64[8] = ${first}
    b: int64[8] = ${second}
    p = Pad(x, a) ${attributes}
    y = Pad(p, b) ${attributes}`,
    images,
  );

export const operands: readonly RuleExample[] = [
  {
    rule: "repeated-operand",
    fires: {
      "an Expand of a stored row": nodes(`
        row: float32[1, 8] = random(seed 1)
        s = Shape(x)
        e = Expand(row, s)
        y = Add(x, e)`),
      "zeros of the same shape": nodes("  s = Shape(x)\n  f = ConstantOfShape(s)\n  a = Add(f, x)\n  y = Relu(a)"),
      "a fill as a factor": nodes("  s = Shape(x)\n  f = ConstantOfShape(s) {value=float32[1] [3]}\n  y = Mul(x, f)"),
      "a Tile of a column in a Where": nodes(
        `
        r: int64[2] = [1, 8]
        zero: float32[] = [0]
        c = Greater(x, zero)
        t = Tile(z, r)
        y = Where(c, x, t)`,
        "x: float32[batch, 8], z: float32[batch, 1]",
      ),
    },
    keeps: {
      "an Expand that broadcasts the other operand": nodes(
        "  row: float32[1, 8] = random(seed 1)\n  s: int64[2] = [3, 8]\n  e = Expand(row, s)\n  y = Add(x, e)",
        "x: float32[1, 8]",
      ),
      "a reader that does not broadcast": nodes(`
        row: float32[1, 8] = random(seed 1)
        s = Shape(x)
        e = Expand(row, s)
        a = Add(x, e)
        y = Concat(a, e) {axis=1}`),
      "a Tile that repeats several elements": nodes(
        "  r: int64[2] = [1, 2]\n  t = Tile(z, r)\n  y = Add(x, t)",
        "x: float32[batch, 8], z: float32[batch, 4]",
      ),
      "a shape of other unknown dimensions": nodes(
        "  row: float32[1, 8] = random(seed 1)\n  s = Shape(z)\n  e = Expand(row, s)\n  y = Add(x, e)",
        "x: float32[batch, 8], z: float32[other, 8]",
      ),
      "a graph output": `graph (x: float32[batch, 8]) -> (e, y) {
  row: float32[1, 8] = random(seed 1)
  s = Shape(x)
  e = Expand(row, s)
  y = Add(x, e)
}`,
    },
    sizes: { batch: 3, other: 3 },
  },
  {
    rule: "padded-twice",
    fires: {
      zeros: pads("[0, 0, 1, 1, 0, 0, 1, 1]", "[0, 0, 1, 0, 0, 0, 1, 0]"),
      edges: pads("[0, 0, 1, 1, 0, 0, 1, 1]", "[0, 0, 2, 0, 0, 0, 1, 0]", '{mode="edge"}'),
      "pads of some axes": nodes(
        `
        a: int64[2] = [1, 2]
        b: int64[4] = [1, 2, 0, 1]
        last: int64[1] = [-1]
        both: int64[2] = [3, 2]
        fill: float32[] = [0.5]
        p = Pad(x, a, fill, last)
        y = Pad(p, b, fill, both)`,
        images,
      ),
    },
    keeps: {
      "a pad that removes elements": pads("[0, 0, 1, 1, 0, 0, 1, 1]", "[0, 0, -1, 0, 0, 0, 1, 0]"),
      reflections: pads("[0, 0, 1, 1, 0, 0, 1, 1]", "[0, 0, 1, 0, 0, 0, 1, 0]", '{mode="reflect"}'),
      "two values": nodes(
        `
        a: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
        one: float32[] = [1]
        p = Pad(x, a, one)
        y = Pad(p, a)`,
        images,
      ),
      "another reader": nodes(
        `
        a: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
        p = Pad(x, a)
        q = Pad(p, a)
        m = ReduceMax(q) {keepdims=0}
        y = Mul(p, m)`,
        images,
      ),
    },
    sizes: { batch: 2 },
  },
  {
    rule: "reduced-pool",
    fires: {
      "a mean that drops the axes": nodes(
        "  axes: int64[2] = [2, 3]\n  g = GlobalAveragePool(x)\n  y = ReduceMean(g, axes) {keepdims=0}",
        images,
      ),
      "an attribute in an old opset, and a maximum": nodes(
        "  g = GlobalAveragePool(x)\n  y = ReduceMax(g) {axes=[-1, -2], keepdims=0}",
        images,
        13,
      ),
      "a mean over channels, too": nodes(
        "  axes: int64[1] = [1]\n  g = GlobalAveragePool(x)\n  y = ReduceMean(g, axes)",
        images,
      ),
    },
    keeps: {
      "a pooled axis that stays": nodes(
        "  axes: int64[1] = [2]\n  g = GlobalAveragePool(x)\n  y = ReduceMean(g, axes) {keepdims=0}",
        images,
      ),
      "a maximum over channels": nodes(
        "  axes: int64[3] = [1, 2, 3]\n  g = GlobalAveragePool(x)\n  y = ReduceMax(g, axes) {keepdims=0}",
        images,
      ),
      "another reader": nodes(
        "  axes: int64[2] = [2, 3]\n  g = GlobalAveragePool(x)\n  m = ReduceMean(g, axes)\n  y = Add(g, m)",
        images,
      ),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
];
