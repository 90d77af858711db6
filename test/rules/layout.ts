import type { RuleExample } from "./example.ts";

const nodes = (body: string, input = "x: float32[2, 6, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${body}
}`;

const images = "x: float32[batch, 3, 5, 4]";

export const layouts: readonly RuleExample[] = [
  {
    rule: "layout-chain",
    fires: {
      "transpositions around a Squeeze": nodes(`
        one: int64[1] = [1]
        u = Unsqueeze(x, one)
        t = Transpose(u) {perm=[0, 1, 3, 2]}
        s = Squeeze(t, one)
        y = Transpose(s) {perm=[0, 2, 1]}`),
      "transpositions around a Reshape that splits two axes": nodes(`
        shape: int64[4] = [2, 2, 4, 6]
        t = Transpose(x) {perm=[0, 2, 1]}
        r = Reshape(t, shape)
        y = Transpose(r) {perm=[0, 3, 1, 2]}`),
      "a Transpose that moves an axis of length 1": nodes(
        "  shape: int64[2] = [-1, 4]\n  t = Transpose(x) {perm=[0, 2, 1]}\n  y = Reshape(t, shape)",
        "x: float32[batch, 1, 8]",
      ),
      "heads that are split, moved and merged again": nodes(
        `
        split: int64[4] = [0, 0, 2, 4]
        merge: int64[3] = [0, 0, 8]
        r = Reshape(x, split)
        t = Transpose(r) {perm=[0, 2, 1, 3]}
        u = Transpose(t) {perm=[0, 2, 1, 3]}
        m = Reshape(u, merge)
        y = Relu(m)`,
        "x: float32[batch, steps, 8]",
      ),
      "attributes of an old opset": nodes(
        "  u = Unsqueeze(x) {axes=[1]}\n  t = Transpose(u) {perm=[0, 1, 3, 2]}\n  y = Squeeze(t) {axes=[1]}",
        "x: float32[2, 6, 8]",
        11,
      ),
      "a transposed value that another node reads": nodes(`
        shape: int64[4] = [2, 2, 4, 6]
        t = Transpose(x) {perm=[0, 2, 1]}
        r = Reshape(t, shape)
        b = Transpose(r) {perm=[0, 3, 1, 2]}
        m = ReduceSum(b) {keepdims=0}
        n = Neg(t)
        y = Mul(n, m)`),
    },
    keeps: {
      "a Transpose between two necessary reshapes": nodes(`
        split: int64[4] = [2, 6, 2, 4]
        merge: int64[3] = [2, 12, 4]
        r = Reshape(x, split)
        t = Transpose(r) {perm=[0, 2, 1, 3]}
        y = Reshape(t, merge)`),
      "other readers inside": nodes(`
        shape: int64[2] = [2, 48]
        t = Transpose(x) {perm=[1, 0, 2]}
        r = Reshape(t, shape)
        s = Neg(t)
        u = Neg(r)
        z = ReduceMax(s) {keepdims=0}
        y = Mul(u, z)`),
      "an unknown length that cannot be written": nodes(
        `
        t = Transpose(x) {perm=[0, 2, 1]}
        y = Reshape(t, shape)`,
        "x: float32[batch, 1, 8], shape: int64[4]",
      ),
      "a graph output inside": `graph (x: float32[2, 1, 8]) -> (t, y) {
  shape: int64[2] = [4, 4]
  t = Transpose(x) {perm=[0, 2, 1]}
  y = Reshape(t, shape)
}`,
    },
    sizes: { batch: 3, steps: 5 },
  },
  {
    rule: "transpose-through",
    fires: {
      "an activation": nodes("  t = Transpose(x) {perm=[0, 2, 1]}\n  r = Relu(t)\n  y = Transpose(r) {perm=[0, 2, 1]}"),
      "a Softmax and a vector per channel": nodes(
        `
        scale: float32[3] = random(seed 1)
        t = Transpose(x) {perm=[0, 2, 3, 1]}
        m = Mul(t, scale)
        s = Softmax(m) {axis=3}
        y = Transpose(s) {perm=[0, 3, 1, 2]}`,
        images,
      ),
      "a matrix that must be transposed, too": nodes(`
        bias: float32[8, 6] = random(seed 1)
        t = Transpose(x) {perm=[0, 2, 1]}
        s = Add(bias, t)
        y = Transpose(s) {perm=[0, 2, 1]}`),
      "two operands with the same Transpose": nodes(
        `
        n = Neg(x)
        e = Exp(x)
        a = Transpose(n) {perm=[0, 2, 3, 1]}
        b = Transpose(e) {perm=[0, 2, 3, 1]}
        s = Add(a, b)
        y = Transpose(s) {perm=[0, 3, 1, 2]}`,
        images,
      ),
      "transpositions that are not inverse": nodes(
        "  t = Transpose(x) {perm=[1, 2, 0]}\n  r = Tanh(t)\n  y = Transpose(r) {perm=[0, 2, 1]}",
      ),
      "a residual branch with several readers": nodes(
        `
        w: float32[3, 3, 1, 1] = random(seed 1)
        a = Transpose(x) {perm=[0, 2, 3, 1]}
        r = Relu(a)
        b = Transpose(r) {perm=[0, 3, 1, 2]}
        c = Conv(b, w)
        d = Transpose(c) {perm=[0, 2, 3, 1]}
        s = Add(d, r)
        y = Transpose(s) {perm=[0, 3, 1, 2]}`,
        images,
      ),
      "a mean, a Concat, a Slice, a Pad and quantization": nodes(
        `
        axes: int64[2] = [1, 2]
        starts: int64[1] = [1]
        ends: int64[1] = [4]
        last: int64[1] = [-1]
        pads: int64[8] = [0, 1, 0, 0, 0, 0, 2, 0]
        step: float32[] = [0.02]
        zero: uint8[] = [128]
        low: float32[] = [-1]
        t = Transpose(x) {perm=[0, 2, 3, 1]}
        m = ReduceMean(t, axes)
        d = Sub(t, m)
        c = Concat(d, t) {axis=-1}
        l = Slice(c, starts, ends, last)
        p = Pad(l, pads)
        h = Clip(p, low)
        q = QuantizeLinear(h, step, zero)
        f = DequantizeLinear(q, step, zero)
        y = Transpose(f) {perm=[0, 3, 1, 2]}`,
        images,
      ),
      "a Slice with 32-bit bounds and without axes": nodes(
        `
        starts: int32[4] = [0, 1, 0, 0]
        ends: int32[4] = [9, 3, 9, 2]
        t = Transpose(x) {perm=[0, 2, 3, 1]}
        l = Slice(t, starts, ends)
        h = Relu(l)
        y = Transpose(h) {perm=[0, 3, 1, 2]}`,
        images,
      ),
      "parts of a Split": nodes(
        `
        t = Transpose(x) {perm=[0, 2, 3, 1]}
        a, b = Split(t) {axis=1, num_outputs=2}
        s = Concat(b, a) {axis=1}
        y = Transpose(s) {perm=[0, 3, 1, 2]}`,
        "x: float32[batch, 3, 6, 4]",
      ),
    },
    keeps: {
      "another reader of the activation": nodes(`
        t = Transpose(x) {perm=[0, 2, 1]}
        r = Relu(t)
        u = Transpose(r) {perm=[0, 2, 1]}
        m = ReduceSum(u) {keepdims=0}
        y = Mul(r, m)`),
      "no Transpose in front": nodes("  r = Relu(x)\n  y = Transpose(r) {perm=[0, 2, 1]}"),
      "a graph output inside": `graph (x: float32[2, 6, 8]) -> (r, y) {
  t = Transpose(x) {perm=[0, 2, 1]}
  r = Relu(t)
  y = Transpose(r) {perm=[0, 2, 1]}
}`,
      "one operand without a Transpose": nodes(
        `
        t = Transpose(x) {perm=[0, 2, 1]}
        p = Mul(t, z)
        q = Mul(p, w)
        y = Transpose(q) {perm=[0, 2, 1]}`,
        "x: float32[2, 6, 8], z: float32[2, 8, 6], w: float32[2, 8, 6]",
      ),
      "an operand of lower rank that is computed": nodes(
        `
        t = Transpose(x) {perm=[0, 2, 1]}
        p = Mul(t, z)
        y = Transpose(p) {perm=[0, 2, 1]}`,
        "x: float32[2, 6, 8], z: float32[6]",
      ),
      "a Softmax that flattens axes": nodes(
        "  t = Transpose(x) {perm=[0, 2, 1]}\n  s = Softmax(t) {axis=1}\n  y = Transpose(s) {perm=[0, 2, 1]}",
        "x: float32[2, 6, 8]",
        11,
      ),
      "a normalization of the last axis": nodes(`
        scale: float32[6] = random(seed 1)
        t = Transpose(x) {perm=[0, 2, 1]}
        s = LayerNormalization(t, scale) {axis=-1}
        y = Transpose(s) {perm=[0, 2, 1]}`),
      "a reduction that drops axes": nodes(
        `
        axes: int64[1] = [1]
        t = Transpose(x) {perm=[0, 2, 3, 1]}
        m = ReduceMean(t, axes) {keepdims=0}
        y = Transpose(m) {perm=[0, 2, 1]}`,
        images,
      ),
    },
    sizes: { batch: 3 },
    tolerance: 1e-5,
  },
  {
    rule: "reshape-through",
    fires: {
      "an activation": nodes(`
        flat: int64[2] = [12, 8]
        full: int64[3] = [2, 6, 8]
        r = Reshape(x, flat)
        t = Tanh(r)
        y = Reshape(t, full)`),
      "a vector along the last axis, and a scalar": nodes(
        `
        flat: int64[2] = [-1, 8]
        full: int64[3] = [-1, 6, 8]
        bias: float32[8] = random(seed 1)
        two: float32[] = [2]
        r = Reshape(x, flat)
        b = Add(bias, r)
        m = Mul(b, two)
        y = Reshape(m, full)`,
        "x: float32[batch, 6, 8]",
      ),
      "a matrix with the dimensions of the operand": nodes(`
        flat: int64[2] = [12, 8]
        full: int64[3] = [2, 6, 8]
        bias: float32[12, 8] = random(seed 1)
        r = Reshape(x, flat)
        b = Add(r, bias)
        y = Reshape(b, full)`),
      "Unsqueeze and Squeeze": nodes(
        `
        one: int64[1] = [1]
        u = Unsqueeze(x, one)
        r = Sigmoid(u)
        y = Squeeze(r, one)`,
        "x: float32[batch, steps, 8]",
      ),
      "reshapes that differ": nodes(`
        flat: int64[2] = [12, 8]
        other: int64[3] = [4, 3, 8]
        r = Reshape(x, flat)
        t = Tanh(r)
        y = Reshape(t, other)`),
    },
    keeps: {
      "a vector along an axis that only one of the shapes has": nodes(
        `
        flat: int64[2] = [12, 8]
        full: int64[3] = [2, 6, 8]
        r = Reshape(x, flat)
        t = Mul(r, scale)
        y = Reshape(t, full)`,
        "x: float32[2, 6, 8], scale: float32[12, 1]",
      ),
      "a Softmax": nodes(`
        flat: int64[2] = [6, 16]
        full: int64[3] = [2, 6, 8]
        r = Reshape(x, flat)
        t = Softmax(r) {axis=1}
        y = Reshape(t, full)`),
      "another reader": nodes(`
        flat: int64[2] = [12, 8]
        full: int64[3] = [2, 6, 8]
        r = Reshape(x, flat)
        t = Tanh(r)
        u = Reshape(t, full)
        m = ReduceSum(u) {keepdims=0}
        y = Mul(t, m)`),
      "no reshape in front": nodes("  flat: int64[2] = [12, 8]\n  t = Tanh(x)\n  y = Reshape(t, flat)"),
    },
    sizes: { batch: 3, steps: 5 },
  },
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
];
