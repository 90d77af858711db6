import type { RuleExample } from "./example.ts";

const nodes = (body: string, input = "x: float32[batch, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${body}
}`;

const _images = "x: float32[batch, 3, 6, 6]";

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
];
