import type { RuleExample } from "./example.ts";

const nodes = (body: string, input = "x: float32[2, 6, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${body}
}`;

const padded = (lines: string, opset = 21) =>
  nodes(
    `
    w: float32[4, 3, 3, 3] = random(seed 1)
    pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 0]
    channels: int64[8] = [0, 1, 0, 0, 0, 0, 0, 0]
    negative: int64[8] = [0, 0, -1, 0, 0, 0, 0, 0]
    one: float32[] = [1]
    lowest: float32[] = [-inf]
${lines}`,
    "x: float32[batch, 3, 6, 5]",
    opset,
  );

export const layoutPairs: readonly RuleExample[] = [
  {
    rule: "reshapes",
    fires: {
      "a copied dimension": nodes(
        `
        split: int64[4] = [0, 0, 2, 4]
        merge: int64[3] = [0, -1, 4]
        r = Reshape(x, split)
        y = Reshape(r, merge)`,
        "x: float32[batch, steps, 8]",
      ),
      "a Flatten": nodes("  shape: int64[2] = [-1, 4]\n  r = Flatten(x)\n  y = Reshape(r, shape)"),
    },
    keeps: {
      "a copied dimension that the first input lacks": nodes(
        `
        swap: int64[3] = [0, 2, -1]
        merge: int64[3] = [2, -1, 0]
        r = Reshape(x, swap)
        y = Reshape(r, merge)`,
        "x: float32[batch, steps, 8]",
      ),
    },
    sizes: { batch: 4, steps: 5 },
  },
  {
    rule: "transposes",
    fires: {
      "permutations whose product is another one": nodes(
        "  t = Transpose(x) {perm=[1, 2, 0]}\n  y = Transpose(t) {perm=[0, 2, 1]}",
        "x: float32[batch, steps, 8]",
      ),
      "the default permutation": nodes("  t = Transpose(x)\n  y = Transpose(t) {perm=[1, 0, 2]}"),
    },
    keeps: {
      "another operator between": nodes(
        "  t = Transpose(x) {perm=[1, 2, 0]}\n  s = Softmax(t) {axis=1}\n  y = Transpose(s) {perm=[0, 2, 1]}",
      ),
      "a graph output between": `graph (x: float32[2, 6, 8]) -> (y) {
  t = Transpose(x) {perm=[1, 2, 0]}
  s = Softmax(t) {axis=1}
  y = Add(s, t)
}`,
    },
    sizes: { batch: 3, steps: 5 },
  },
  {
    rule: "merged-around",
    fires: {
      "heads that are merged with samples, transposed and split": nodes(
        `
        merge: int64[3] = [-1, 5, 8]
        split: int64[4] = [-1, 4, 8, 5]
        m = Reshape(x, merge)
        t = Transpose(m) {perm=[0, 2, 1]}
        y = Reshape(t, split)`,
        "x: float32[batch, 4, 5, 8]",
      ),
      "heads of fixed sizes": nodes(`
        merge: int64[3] = [6, 4, 4]
        split: int64[4] = [4, 2, 3, 4]
        m = Reshape(x, merge)
        t = Transpose(m) {perm=[1, 0, 2]}
        y = Reshape(t, split)`),
    },
    keeps: {
      "a split at other boundaries": nodes(`
        merge: int64[3] = [6, 4, 4]
        split: int64[4] = [3, 8, 2, 2]
        m = Reshape(x, merge)
        t = Transpose(m) {perm=[1, 0, 2]}
        y = Reshape(t, split)`),
      "a merge into fewer axes": nodes(`
        merge: int64[3] = [6, 4, 4]
        join: int64[2] = [4, 24]
        m = Reshape(x, merge)
        t = Transpose(m) {perm=[1, 0, 2]}
        y = Reshape(t, join)`),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "padded-window",
    fires: {
      "a convolution": padded("  p = Pad(x, pads)\n  y = Conv(p, w) {pads=[0, 1, 0, 1]}"),
      "a convolution that pads nothing": padded(
        '  p = Pad(x, pads)\n  y = Conv(p, w) {auto_pad="VALID", strides=[2, 2]}',
      ),
      "a mean": padded("  p = Pad(x, pads)\n  y = AveragePool(p) {kernel_shape=[2, 2]}"),
      "a maximum of numbers that are not negative": padded(
        "  r = Relu(x)\n  p = Pad(r, pads, lowest)\n  y = MaxPool(p) {kernel_shape=[2, 3]}",
      ),
      "pads as an attribute": nodes(
        "  w: float32[4, 3, 3, 3] = random(seed 1)\n  p = Pad(x) {pads=[0, 0, 1, 1, 0, 0, 1, 0]}\n  y = Conv(p, w)",
        "x: float32[batch, 3, 6, 5]",
        10,
      ),
    },
    keeps: {
      "padding of channels": padded(
        "  v: float32[2, 4, 3, 3] = random(seed 2)\n  p = Pad(x, channels)\n  y = Conv(p, v)",
      ),
      "padding that removes elements": padded("  p = Pad(x, negative)\n  y = Conv(p, w)"),
      "padding by ones": padded("  p = Pad(x, pads, one)\n  y = Conv(p, w)"),
      "a repeated edge": padded('  p = Pad(x, pads) {mode="edge"}\n  y = Conv(p, w)'),
      "padding that the convolution computes": padded('  p = Pad(x, pads)\n  y = Conv(p, w) {auto_pad="SAME_UPPER"}'),
      "a mean that does not count its pads": padded(
        "  p = Pad(x, pads)\n  y = AveragePool(p) {kernel_shape=[2, 2], pads=[1, 0, 0, 0]}",
      ),
      "a maximum of negative numbers": padded("  p = Pad(x, pads, lowest)\n  y = MaxPool(p) {kernel_shape=[2, 3]}"),
      "a maximum with zeros": padded("  r = Relu(x)\n  p = Pad(r, pads)\n  y = MaxPool(p) {kernel_shape=[2, 3]}"),
      "pads as long as the window": padded("  p = Pad(x, pads)\n  y = AveragePool(p) {kernel_shape=[1, 2]}"),
    },
    sizes: { batch: 2 },
    tolerance: 1e-5,
  },
];
