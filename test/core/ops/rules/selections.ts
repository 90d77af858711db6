import type { RuleExample } from "./example.ts";

const nodes = (body: string, input = "x: float32[batch, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
  zero: int64[1] = [0]
  one: int64[1] = [1]
  two: int64[1] = [2]
  four: int64[1] = [4]
  end: int64[1] = [9223372036854775807]
${body}
}`;

export const selections: readonly RuleExample[] = [
  {
    rule: "slices",
    fires: {
      "two axes": nodes("  a = Slice(x, zero, two, zero)\n  y = Slice(a, one, end, one)"),
      "an axis of known length twice": nodes(`
        minus: int64[1] = [-1]
        a = Slice(x, one, end, one, two)
        y = Slice(a, end, zero, one, minus)`),
      "readers that are all slices": nodes(
        `
        a = Slice(x, zero, end, one, two)
        b = Slice(a, zero, end, two, two)
        c = Slice(a, one, end, two, two)
        y = Concat(b, c) {axis=2}`,
        "x: float32[batch, 8, 6]",
      ),
    },
    keeps: {
      "an axis of unknown length twice": nodes("  a = Slice(x, one, end, zero)\n  y = Slice(a, one, end, zero)"),
      "a reader that is not a slice": nodes(`
        a = Slice(x, zero, end, one, two)
        b = Slice(a, zero, one, zero)
        y = Add(a, b)`),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "sliced-shape",
    fires: {
      "a Slice": nodes("  s = Shape(x)\n  p = Slice(s, one, end)\n  y = Neg(p)", "x: float32[batch, steps, 8]"),
      "consecutive indices": nodes(
        "  i: int64[2] = [0, -2]\n  s = Shape(x)\n  p = Gather(s, i)\n  y = Neg(p)",
        "x: float32[batch, steps, 8]",
      ),
    },
    keeps: {
      "a scalar index": nodes("  i: int64[] = [1]\n  s = Shape(x)\n  y = Gather(s, i)"),
      "every second dimension": nodes(
        "  s = Shape(x)\n  y = Slice(s, zero, end, zero, two)",
        "x: float32[batch, steps, 8]",
      ),
      "dimensions in another order": nodes("  i: int64[2] = [1, 0]\n  s = Shape(x)\n  y = Gather(s, i)"),
      "an opset without ranges": nodes("  s = Shape(x)\n  y = Slice(s, one, end)", "x: float32[batch, 8]", 13),
    },
    sizes: { batch: 3, steps: 5 },
  },
  {
    rule: "gathered-axis",
    fires: {
      "an axis that is restored": nodes("  i: int64[] = [-2]\n  g = Gather(x, i) {axis=1}\n  y = Unsqueeze(g, one)"),
      "an attribute of an old opset": `opset 11
graph (x: float32[batch, 8, 3]) -> (y) {
  i: int64[] = [2]
  g = Gather(x, i) {axis=-1}
  y = Unsqueeze(g) {axes=[-1]}
}`,
    },
    keeps: {
      "another axis": nodes("  i: int64[] = [2]\n  g = Gather(x, i) {axis=1}\n  y = Unsqueeze(g, zero)"),
      "a vector of indices": nodes("  g = Gather(x, two) {axis=1}\n  y = Unsqueeze(g, one)"),
      "a computed index": nodes(
        "  g = Gather(x, i) {axis=1}\n  y = Unsqueeze(g, one)",
        "x: float32[batch, 8], i: int64[]",
      ),
      "another reader": nodes(`
        i: int64[] = [2]
        g = Gather(x, i) {axis=1}
        u = Unsqueeze(g, one)
        y = Add(u, g)`),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "piece-of-sequence",
    fires: {
      "pieces of one size": nodes(`
        size: int64[] = [3]
        i: int64[] = [2]
        s = SplitToSequence(x, size) {axis=1}
        y = SequenceAt(s, i)`),
      "several pieces of listed sizes": nodes(`
        sizes: int64[3] = [1, 5, 2]
        i: int64[] = [-1]
        j: int64[] = [0]
        s = SplitToSequence(x, sizes) {axis=-1}
        a = SequenceAt(s, i)
        b = SequenceAt(s, j)
        y = Mul(a, b)`),
    },
    keeps: {
      "a computed position": nodes(
        "  size: int64[] = [3]\n  s = SplitToSequence(x, size) {axis=1}\n  y = SequenceAt(s, i)",
        "x: float32[batch, 8], i: int64[]",
      ),
      "an axis of unknown length": nodes(`
        size: int64[] = [2]
        i: int64[] = [1]
        s = SplitToSequence(x, size) {axis=0}
        y = SequenceAt(s, i)`),
    },
    sizes: { batch: 3 },
  },
];
