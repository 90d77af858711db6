/**
 * Small networks, each with a different connection between layers. Every pass is tested on all of them.
 *
 * They resemble files from exporters: no roles, names with a stem per layer, a symbolic batch. All inputs are float32 except
 * those in `integers`.
 */

export interface Topology {
  readonly name: string;
  /** Text form of the model; see `src/core/graph/text.ts`. */
  readonly text: string;
  /** Input dimensions for runs. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Integer inputs with the range of their values (upper end excluded). */
  readonly integers?: Readonly<Record<string, readonly [from: number, to: number]>>;
}

/** Returns the topology with a name. */
export function topology(name: string): Topology {
  const match = topologies.find((candidate) => candidate.name === name);
  if (match === undefined) throw new Error(`There is no topology "${name}".`);
  return match;
}

export const topologies: readonly Topology[] = [
  {
    name: "gemm-chain",
    inputs: { x: [3, 12] },
    text: `opset 21
graph (x: float32[batch, 12]) -> (y: float32[batch, 4]) {
  fc1.weight: float32[16, 12] = random(seed 1)
  fc1.bias: float32[16] = random(seed 2)
  fc2.weight: float32[10, 16] = random(seed 3)
  fc2.bias: float32[10] = random(seed 4)
  fc3.weight: float32[4, 10] = random(seed 5)
  fc3.bias: float32[4] = random(seed 6)
  h1 = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  a1 = Relu "relu1" (h1)
  h2 = Gemm "fc2" (a1, fc2.weight, fc2.bias) {transB=1}
  a2 = Relu "relu2" (h2)
  y = Gemm "fc3" (a2, fc3.weight, fc3.bias) {transB=1}
}`,
  },
  {
    name: "matmul-chain",
    inputs: { x: [2, 5, 8] },
    text: `opset 21
graph (x: float32[batch, seq, 8]) -> (y: float32[batch, seq, 6]) {
  up.weight: float32[8, 24] = random(seed 11)
  up.bias: float32[24] = random(seed 12)
  down.weight: float32[24, 6] = random(seed 13)
  down.bias: float32[6] = random(seed 14)
  m1 = MatMul "up" (x, up.weight)
  h1 = Add "up_bias" (up.bias, m1)
  a1 = Sigmoid "sigmoid" (h1)
  m2 = MatMul "down" (a1, down.weight)
  y = Add "down_bias" (m2, down.bias)
}`,
  },
  {
    name: "conv-batchnorm",
    inputs: { x: [2, 3, 8, 8] },
    text: `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 6, 4, 4]) {
  conv1.weight: float32[8, 3, 3, 3] = random(seed 21)
  bn1.weight: float32[8] = random(seed 22, from 0.5 to 1.5)
  bn1.bias: float32[8] = random(seed 23)
  bn1.running_mean: float32[8] = random(seed 24)
  bn1.running_var: float32[8] = random(seed 25, from 0.5 to 1.5)
  conv2.weight: float32[6, 8, 3, 3] = random(seed 26)
  conv2.bias: float32[6] = random(seed 27)
  bn2.weight: float32[6] = random(seed 28, from 0.5 to 1.5)
  bn2.bias: float32[6] = random(seed 29)
  bn2.running_mean: float32[6] = random(seed 30)
  bn2.running_var: float32[6] = random(seed 31, from 0.5 to 1.5)
  h1 = Conv "conv1" (x, conv1.weight) {kernel_shape=[3, 3], pads=[1, 1, 1, 1]}
  n1 = BatchNormalization "bn1" (h1, bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var) {epsilon=1e-5}
  a1 = Relu "relu1" (n1)
  h2 = Conv "conv2" (a1, conv2.weight, conv2.bias) {kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]}
  n2 = BatchNormalization "bn2" (h2, bn2.weight, bn2.bias, bn2.running_mean, bn2.running_var) {epsilon=1e-5}
  y = Relu "relu2" (n2)
}`,
  },
  {
    name: "residual-sum",
    inputs: { x: [2, 3, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 5, 6, 6]) {
  stem.weight: float32[8, 3, 3, 3] = random(seed 41)
  conv1.weight: float32[8, 8, 3, 3] = random(seed 42)
  conv1.bias: float32[8] = random(seed 43)
  conv2.weight: float32[8, 8, 3, 3] = random(seed 44)
  head.weight: float32[5, 8, 1, 1] = random(seed 45)
  s = Conv "stem" (x, stem.weight) {pads=[1, 1, 1, 1]}
  h1 = Conv "conv1" (s, conv1.weight, conv1.bias) {pads=[1, 1, 1, 1]}
  a1 = Relu "relu1" (h1)
  h2 = Conv "conv2" (a1, conv2.weight) {pads=[1, 1, 1, 1]}
  sum = Add "sum" (h2, s)
  a2 = Relu "relu2" (sum)
  y = Conv "head" (a2, head.weight)
}`,
  },
  {
    name: "residual-projection",
    inputs: { x: [2, 4, 8, 8] },
    text: `opset 21
graph (x: float32[batch, 4, 8, 8]) -> (y: float32[batch, 3]) {
  conv1.weight: float32[6, 4, 3, 3] = random(seed 51)
  conv2.weight: float32[8, 6, 3, 3] = random(seed 52)
  conv2.bias: float32[8] = random(seed 53)
  project.weight: float32[8, 4, 1, 1] = random(seed 54)
  fc.weight: float32[3, 8] = random(seed 55)
  fc.bias: float32[3] = random(seed 56)
  h1 = Conv "conv1" (x, conv1.weight) {pads=[1, 1, 1, 1], strides=[2, 2]}
  a1 = Relu "relu1" (h1)
  h2 = Conv "conv2" (a1, conv2.weight, conv2.bias) {pads=[1, 1, 1, 1]}
  p = Conv "project" (x, project.weight) {strides=[2, 2]}
  sum = Add "sum" (h2, p)
  a2 = Relu "relu2" (sum)
  g = GlobalAveragePool "pool" (a2)
  f = Flatten "flatten" (g)
  y = Gemm "fc" (f, fc.weight, fc.bias) {transB=1}
}`,
  },
  {
    name: "two-consumers",
    inputs: { x: [3, 7] },
    text: `opset 21
graph (x: float32[batch, 7]) -> (y: float32[batch, 5]) {
  trunk.weight: float32[12, 7] = random(seed 61)
  trunk.bias: float32[12] = random(seed 62)
  left.weight: float32[5, 12] = random(seed 63)
  right.weight: float32[12, 5] = random(seed 64)
  t = Gemm "trunk" (x, trunk.weight, trunk.bias) {transB=1}
  a = Tanh "tanh" (t)
  l = Gemm "left" (a, left.weight) {transB=1}
  r = MatMul "right" (a, right.weight)
  y = Mul "gate" (l, r)
}`,
  },
  {
    name: "flatten-pooled",
    inputs: { x: [2, 3, 8, 8] },
    text: `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 4]) {
  conv.weight: float32[8, 3, 3, 3] = random(seed 71)
  conv.bias: float32[8] = random(seed 72)
  fc.weight: float32[4, 8] = random(seed 73)
  fc.bias: float32[4] = random(seed 74)
  h = Conv "conv" (x, conv.weight, conv.bias)
  a = Relu "relu" (h)
  m = MaxPool "max" (a) {kernel_shape=[2, 2], strides=[2, 2]}
  g = GlobalAveragePool "pool" (m)
  f = Flatten "flatten" (g) {axis=1}
  y = Gemm "fc" (f, fc.weight, fc.bias) {transB=1}
}`,
  },
  {
    name: "flatten-columns",
    inputs: { x: [2, 2, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 2, 6, 6]) -> (y: float32[batch, 3]) {
  conv.weight: float32[5, 2, 3, 3] = random(seed 81)
  conv.bias: float32[5] = random(seed 82)
  fc.weight: float32[3, 20] = random(seed 83)
  fc.bias: float32[3] = random(seed 84)
  h = Conv "conv" (x, conv.weight, conv.bias) {strides=[2, 2]}
  a = Relu "relu" (h)
  f = Flatten "flatten" (a)
  y = Gemm "fc" (f, fc.weight, fc.bias) {transB=1}
}`,
  },
  {
    name: "reshape-minus-one",
    inputs: { x: [2, 2, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 2, 6, 6]) -> (y: float32[batch, 3]) {
  conv.weight: float32[6, 2, 3, 3] = random(seed 91)
  shape: int64[2] = [-1, 96]
  fc.weight: float32[96, 3] = random(seed 92)
  fc.bias: float32[3] = random(seed 93)
  h = Conv "conv" (x, conv.weight)
  a = Relu "relu" (h)
  f = Reshape "reshape" (a, shape)
  y = Gemm "fc" (f, fc.weight, fc.bias)
}`,
  },
  {
    name: "reshape-zero",
    inputs: { x: [2, 2, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 2, 6, 6]) -> (y: float32[batch, 3]) {
  conv.weight: float32[6, 2, 3, 3] = random(seed 101)
  shape: int64[2] = [0, -1]
  fc.weight: float32[96, 3] = random(seed 102)
  h = Conv "conv" (x, conv.weight)
  a = Relu "relu" (h)
  f = Reshape "reshape" (a, shape)
  y = MatMul "fc" (f, fc.weight)
}`,
  },
  {
    name: "concat",
    inputs: { x: [2, 3, 5, 5] },
    text: `opset 21
graph (x: float32[batch, 3, 5, 5]) -> (y: float32[batch, 4, 5, 5]) {
  left.weight: float32[4, 3, 1, 1] = random(seed 111)
  left.bias: float32[4] = random(seed 112)
  right.weight: float32[6, 3, 3, 3] = random(seed 113)
  head.weight: float32[4, 10, 1, 1] = random(seed 114)
  l = Conv "left" (x, left.weight, left.bias)
  r = Conv "right" (x, right.weight) {pads=[1, 1, 1, 1]}
  c = Concat "concat" (l, r) {axis=1}
  a = Relu "relu" (c)
  y = Conv "head" (a, head.weight)
}`,
  },
  {
    name: "split",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {
  fc1.weight: float32[16, 6] = random(seed 121)
  fc1.bias: float32[16] = random(seed 122)
  sizes: int64[2] = [8, 8]
  fc2.weight: float32[4, 8] = random(seed 123)
  h = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  gate, value = Split "split" (h, sizes) {axis=1}
  s = Sigmoid "sigmoid" (gate)
  g = Mul "glu" (s, value)
  y = Gemm "fc2" (g, fc2.weight) {transB=1}
}`,
  },
  {
    name: "depthwise",
    inputs: { x: [2, 4, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 4, 6, 6]) -> (y: float32[batch, 4, 6, 6]) {
  expand.weight: float32[12, 4, 1, 1] = random(seed 131)
  expand.bias: float32[12] = random(seed 132)
  depth.weight: float32[12, 1, 3, 3] = random(seed 133)
  depth.bias: float32[12] = random(seed 134)
  project.weight: float32[4, 12, 1, 1] = random(seed 135)
  low: float32[] = 0
  high: float32[] = 6
  e = Conv "expand" (x, expand.weight, expand.bias)
  e6 = Clip "relu6_1" (e, low, high)
  d = Conv "depth" (e6, depth.weight, depth.bias) {group=12, pads=[1, 1, 1, 1]}
  d6 = Clip "relu6_2" (d, low, high)
  p = Conv "project" (d6, project.weight)
  y = Add "sum" (x, p)
}`,
  },
  {
    name: "grouped-conv",
    inputs: { x: [2, 3, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 5, 6, 6]) {
  first.weight: float32[8, 3, 1, 1] = random(seed 141)
  grouped.weight: float32[12, 2, 3, 3] = random(seed 142)
  grouped.bias: float32[12] = random(seed 143)
  last.weight: float32[5, 12, 1, 1] = random(seed 144)
  f = Conv "first" (x, first.weight)
  a1 = Relu "relu1" (f)
  g = Conv "grouped" (a1, grouped.weight, grouped.bias) {group=4, pads=[1, 1, 1, 1]}
  a2 = Relu "relu2" (g)
  y = Conv "last" (a2, last.weight)
}`,
  },
  {
    name: "shared-weights",
    inputs: { x: [3, 8], z: [3, 8] },
    text: `opset 21
graph (x: float32[batch, 8], z: float32[batch, 8]) -> (y: float32[batch, 6]) {
  tower.weight: float32[10, 8] = random(seed 151)
  tower.bias: float32[10] = random(seed 152)
  head.weight: float32[6, 10] = random(seed 153)
  a = Gemm "tower_x" (x, tower.weight, tower.bias) {transB=1}
  b = Gemm "tower_z" (z, tower.weight, tower.bias) {transB=1}
  ra = Relu "relu_x" (a)
  rb = Relu "relu_z" (b)
  d = Sub "difference" (ra, rb)
  y = Gemm "head" (d, head.weight) {transB=1}
}`,
  },
  {
    name: "multi-output",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (classes: float32[batch, 4], box: float32[batch, 2]) {
  trunk.weight: float32[10, 6] = random(seed 161)
  trunk.bias: float32[10] = random(seed 162)
  classes.weight: float32[4, 10] = random(seed 163)
  classes.bias: float32[4] = random(seed 164)
  box.weight: float32[2, 10] = random(seed 165)
  t = Gemm "trunk" (x, trunk.weight, trunk.bias) {transB=1}
  a = Relu "relu" (t)
  logits = Gemm "classes" (a, classes.weight, classes.bias) {transB=1}
  classes = Softmax "softmax" (logits) {axis=-1}
  box = Gemm "box" (a, box.weight) {transB=1}
}`,
  },
  {
    name: "unused-output",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (y: float32[batch, 5]) {
  fc.weight: float32[9, 6] = random(seed 171)
  sizes: int64[3] = [5, 3, 1]
  never: float32[4] = random(seed 172)
  h = Gemm "fc" (x, fc.weight) {transB=1}
  first, second, third = Split "split" (h, sizes) {axis=1}
  dead = Exp "dead" (third)
  y = Tanh "tanh" (first)
}`,
  },
  {
    name: "transposed-weights",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (y: float32[4, batch]) {
  plain.weight: float32[6, 10] = random(seed 181)
  plain.bias: float32[10] = random(seed 182)
  turned.weight: float32[8, 10] = random(seed 183)
  turned.bias: float32[1, 8] = random(seed 184)
  left.weight: float32[8, 4] = random(seed 185)
  h1 = Gemm "plain" (x, plain.weight, plain.bias) {transB=0}
  a1 = Relu "relu1" (h1)
  h2 = Gemm "turned" (a1, turned.weight, turned.bias) {transB=1, alpha=0.5, beta=2.0}
  a2 = Relu "relu2" (h2)
  y = Gemm "left" (left.weight, a2) {transA=1, transB=1}
}`,
  },
  {
    name: "without-bias",
    inputs: { x: [2, 3, 5, 5] },
    text: `opset 21
graph (x: float32[batch, 3, 5, 5]) -> (y: float32[batch, 4]) {
  conv.weight: float32[6, 3, 3, 3] = random(seed 191)
  fc1.weight: float32[8, 54] = random(seed 192)
  fc2.weight: float32[8, 4] = random(seed 193)
  h = Conv "conv" (x, conv.weight)
  a = LeakyRelu "leaky" (h) {alpha=0.1}
  f = Flatten "flatten" (a)
  g = Gemm "fc1" (f, fc1.weight) {transB=1}
  y = MatMul "fc2" (g, fc2.weight)
}`,
  },
  {
    name: "layer-is-output",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (features: float32[batch, 8], y: float32[batch, 4]) {
  fc1.weight: float32[8, 6] = random(seed 201)
  fc1.bias: float32[8] = random(seed 202)
  fc2.weight: float32[4, 8] = random(seed 203)
  fc2.bias: float32[4] = random(seed 204)
  features = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  a = Relu "relu" (features)
  y = Gemm "fc2" (a, fc2.weight, fc2.bias) {transB=1}
}`,
  },
  {
    name: "squeeze-excite",
    inputs: { x: [2, 3, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 4, 6, 6]) {
  conv.weight: float32[8, 3, 3, 3] = random(seed 211)
  conv.bias: float32[8] = random(seed 212)
  squeeze.weight: float32[2, 8, 1, 1] = random(seed 213)
  squeeze.bias: float32[2] = random(seed 214)
  excite.weight: float32[8, 2, 1, 1] = random(seed 215)
  excite.bias: float32[8] = random(seed 216)
  head.weight: float32[4, 8, 1, 1] = random(seed 217)
  h = Conv "conv" (x, conv.weight, conv.bias) {auto_pad="SAME_UPPER"}
  a = Relu "relu" (h)
  g = GlobalAveragePool "pool" (a)
  s = Conv "squeeze" (g, squeeze.weight, squeeze.bias)
  sr = Relu "squeeze_relu" (s)
  e = Conv "excite" (sr, excite.weight, excite.bias)
  w = HardSigmoid "gate" (e)
  m = Mul "scale" (a, w)
  y = Conv "head" (m, head.weight)
}`,
  },
  {
    name: "attention",
    inputs: { x: [2, 5, 8] },
    text: `opset 21
graph (x: float32[batch, seq, 8]) -> (y: float32[batch, seq, 8]) {
  q.weight: float32[8, 8] = random(seed 221)
  k.weight: float32[8, 8] = random(seed 222)
  v.weight: float32[8, 8] = random(seed 223)
  o.weight: float32[8, 8] = random(seed 224)
  heads: int64[4] = [0, 0, 2, 4]
  merged: int64[3] = [0, 0, 8]
  root: float32[] = 2
  q = MatMul "q" (x, q.weight); k = MatMul "k" (x, k.weight); v = MatMul "v" (x, v.weight)
  q4 = Reshape (q, heads); k4 = Reshape (k, heads); v4 = Reshape (v, heads)
  qh = Transpose (q4) {perm=[0, 2, 1, 3]}
  kh = Transpose (k4) {perm=[0, 2, 3, 1]}
  vh = Transpose (v4) {perm=[0, 2, 1, 3]}
  scores = MatMul (qh, kh)
  scaled = Div (scores, root)
  weights = Softmax (scaled) {axis=-1}
  mixed = MatMul (weights, vh)
  back = Transpose (mixed) {perm=[0, 2, 1, 3]}
  rows = Reshape (back, merged)
  out = MatMul "o" (rows, o.weight)
  y = Add "residual" (out, x)
}`,
  },
  {
    name: "fused-attention",
    inputs: { x: [2, 5, 8] },
    text: `opset 21
graph (x: float32[batch, seq, 8]) -> (y: float32[batch, seq, 8]) {
  qkv.weight: float32[8, 24] = random(seed 225)
  qkv.bias: float32[24] = random(seed 226)
  o.weight: float32[8, 8] = random(seed 227)
  heads: int64[5] = [0, 0, 3, 2, 4]
  merged: int64[3] = [0, 0, 8]
  root: float32[] = 2
  first: int64[] = 0
  second: int64[] = 1
  third: int64[] = 2
  m = MatMul "qkv" (x, qkv.weight)
  b = Add "qkv_bias" (m, qkv.bias)
  all = Reshape (b, heads)
  parts = Transpose (all) {perm=[2, 0, 3, 1, 4]}
  q = Gather (parts, first) {axis=0}; k = Gather (parts, second) {axis=0}; v = Gather (parts, third) {axis=0}
  kt = Transpose (k) {perm=[0, 1, 3, 2]}
  scores = MatMul (q, kt)
  scaled = Div (scores, root)
  weights = Softmax (scaled) {axis=-1}
  mixed = MatMul (weights, v)
  back = Transpose (mixed) {perm=[0, 2, 1, 3]}
  rows = Reshape (back, merged)
  out = MatMul "o" (rows, o.weight)
  y = Add "residual" (out, x)
}`,
  },
  {
    name: "channel-shuffle",
    inputs: { x: [2, 3, 5, 5] },
    text: `opset 21
graph (x: float32[batch, 3, 5, 5]) -> (y: float32[batch, 4, 5, 5]) {
  left.weight: float32[6, 3, 3, 3] = random(seed 228)
  right.weight: float32[6, 3, 1, 1] = random(seed 229)
  head.weight: float32[4, 12, 1, 1] = random(seed 230)
  parted: int64[5] = [0, 2, 6, 5, 5]
  merged: int64[4] = [0, 12, 5, 5]
  a = Conv "left" (x, left.weight) {pads=[1, 1, 1, 1]}
  b = Conv "right" (x, right.weight)
  both = Concat (a, b) {axis=1}
  r = Relu (both)
  p = Reshape (r, parted)
  t = Transpose (p) {perm=[0, 2, 1, 3, 4]}
  m = Reshape (t, merged)
  y = Conv "head" (m, head.weight)
}`,
  },
  {
    name: "recurrent",
    inputs: { x: [4, 2, 5] },
    text: `opset 21
graph (x: float32[steps, batch, 5]) -> (y: float32[steps, batch, 3]) {
  lstm.weight: float32[2, 24, 5] = random(seed 231)
  recurrence: float32[2, 24, 6] = random(seed 232)
  lstm.bias: float32[2, 48] = random(seed 233)
  head.weight: float32[12, 3] = random(seed 234)
  merged: int64[3] = [0, 0, 12]
  h = LSTM "lstm" (x, lstm.weight, recurrence, lstm.bias) {direction="bidirectional", hidden_size=6}
  t = Transpose (h) {perm=[0, 2, 1, 3]}
  r = Reshape (t, merged)
  y = MatMul "head" (r, head.weight)
}`,
  },
  {
    name: "layernorm-feedforward",
    inputs: { x: [2, 4, 6] },
    text: `opset 21
graph (x: float32[batch, seq, 6]) -> (y: float32[batch, seq, 6]) {
  norm.weight: float32[6] = random(seed 231, from 0.5 to 1.5)
  norm.bias: float32[6] = random(seed 232)
  up.weight: float32[6, 24] = random(seed 233)
  up.bias: float32[24] = random(seed 234)
  down.weight: float32[24, 6] = random(seed 235)
  down.bias: float32[6] = random(seed 236)
  n = LayerNormalization "norm" (x, norm.weight, norm.bias) {axis=-1, epsilon=1e-5}
  u = MatMul "up" (n, up.weight)
  ub = Add "up_bias" (u, up.bias)
  a = Gelu "gelu" (ub)
  d = MatMul "down" (a, down.weight)
  db = Add "down_bias" (d, down.bias)
  y = Add "residual" (x, db)
}`,
  },
  {
    name: "tied-embedding",
    inputs: { ids: [2, 4] },
    integers: { ids: [0, 11] },
    text: `opset 21
graph (ids: int64[batch, seq]) -> (logits: float32[batch, seq, 11]) {
  embedding.weight: float32[11, 6] = random(seed 241)
  fc.weight: float32[6, 6] = random(seed 242)
  fc.bias: float32[6] = random(seed 243)
  e = Gather "embedding" (embedding.weight, ids)
  m = MatMul "fc" (e, fc.weight)
  b = Add "fc_bias" (m, fc.bias)
  a = Relu "relu" (b)
  t = Transpose "tie" (embedding.weight) {perm=[1, 0]}
  logits = MatMul "head" (a, t)
}`,
  },
  {
    name: "normalized-groups",
    inputs: { x: [2, 3, 6, 6] },
    text: `opset 21
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 4]) {
  c1.weight: float32[8, 3, 3, 3] = random(seed 281)
  norm1.weight: float32[8] = random(seed 282, from 0.5 to 1.5)
  norm1.bias: float32[8] = random(seed 283)
  c2.weight: float32[12, 8, 3, 3] = random(seed 284)
  groups: int64[3] = [0, 4, -1]
  ones: float32[4] = [1, 1, 1, 1]
  zeros: float32[4] = [0, 0, 0, 0]
  like: int64[4] = [0, 12, 6, 6]
  norm2.weight: float32[12, 1, 1] = random(seed 285, from 0.5 to 1.5)
  up.weight: float32[12, 3, 2, 2] = random(seed 286)
  fc.weight: float32[4, 6] = random(seed 287)
  c1 = Conv "c1" (x, c1.weight) {pads=[1, 1, 1, 1]}
  n1 = GroupNormalization (c1, norm1.weight, norm1.bias) {num_groups=4}
  r1 = Relu (n1)
  c2 = Conv "c2" (r1, c2.weight) {pads=[1, 1, 1, 1]}
  parts = Reshape (c2, groups)
  alone = InstanceNormalization (parts, ones, zeros)
  whole = Reshape (alone, like)
  n2 = Mul (whole, norm2.weight)
  up = ConvTranspose "up" (n2, up.weight) {group=2, strides=[2, 2]}
  pooled = GlobalAveragePool (up)
  flat = Flatten (pooled)
  y = Gemm "fc" (flat, fc.weight) {transB=1}
}`,
  },
  {
    name: "batch-and-heads",
    inputs: { x: [5, 2, 8] },
    text: `opset 21
graph (x: float32[5, batch, 8]) -> (y: float32[5, batch, 8]) {
  q.weight: float32[8, 8] = random(seed 291)
  k.weight: float32[8, 8] = random(seed 292)
  v.weight: float32[8, 8] = random(seed 293)
  o.weight: float32[8, 8] = random(seed 294)
  heads: int64[3] = [5, -1, 4]
  merged: int64[2] = [-1, 8]
  like: int64[3] = [5, -1, 8]
  root: float32[] = 2
  q = MatMul "q" (x, q.weight); k = MatMul "k" (x, k.weight); v = MatMul "v" (x, v.weight)
  q3 = Reshape (q, heads); k3 = Reshape (k, heads); v3 = Reshape (v, heads)
  qh = Transpose (q3) {perm=[1, 0, 2]}
  kh = Transpose (k3) {perm=[1, 2, 0]}
  vh = Transpose (v3) {perm=[1, 0, 2]}
  scores = MatMul (qh, kh)
  scaled = Div (scores, root)
  weights = Softmax (scaled) {axis=-1}
  mixed = MatMul (weights, vh)
  back = Transpose (mixed) {perm=[1, 0, 2]}
  rows = Reshape (back, merged)
  out = MatMul "o" (rows, o.weight)
  y = Reshape (out, like)
}`,
  },
  {
    name: "grouped-query",
    inputs: { x: [2, 3, 8] },
    text: `opset 21
graph (x: float32[batch, 3, 8]) -> (y: float32[batch, 3, 8]) {
  q.weight: float32[8, 24] = random(seed 301)
  k.weight: float32[8, 8] = random(seed 302)
  v.weight: float32[8, 8] = random(seed 303)
  o.weight: float32[24, 8] = random(seed 304)
  queryHeads: int64[4] = [0, 0, 6, 4]
  keyHeads: int64[4] = [0, 0, 2, 4]
  repeats: int64[5] = [1, 1, 3, 1, 1]
  sixHeads: int64[4] = [0, 6, -1, 4]
  merged: int64[3] = [0, 0, 24]
  inner: int64[1] = [2]
  root: float32[] = 2
  q = MatMul "q" (x, q.weight); k = MatMul "k" (x, k.weight); v = MatMul "v" (x, v.weight)
  q4 = Reshape (q, queryHeads); k4 = Reshape (k, keyHeads); v4 = Reshape (v, keyHeads)
  qh = Transpose (q4) {perm=[0, 2, 1, 3]}
  keys = Transpose (k4) {perm=[0, 2, 1, 3]}
  values = Transpose (v4) {perm=[0, 2, 1, 3]}
  k5 = Unsqueeze (keys, inner); v5 = Unsqueeze (values, inner)
  kr = Expand (k5, repeats); vr = Expand (v5, repeats)
  k6 = Reshape (kr, sixHeads); v6 = Reshape (vr, sixHeads)
  kt = Transpose (k6) {perm=[0, 1, 3, 2]}
  scores = MatMul (qh, kt)
  scaled = Div (scores, root)
  weights = Softmax (scaled) {axis=-1}
  mixed = MatMul (weights, v6)
  back = Transpose (mixed) {perm=[0, 2, 1, 3]}
  rows = Reshape (back, merged)
  y = MatMul "o" (rows, o.weight)
}`,
  },
  {
    name: "grouped-query-cache",
    inputs: { x: [2, 3, 8], pastKey: [2, 2, 5, 4], pastValue: [2, 2, 5, 4] },
    text: `opset 21
graph (x: float32[batch, 3, 8], pastKey: float32[batch, 2, past, 4], pastValue: float32[batch, 2, past, 4]) -> (y: float32[batch, 3, 8], keys: float32[batch, 2, total, 4], values: float32[batch, 2, total, 4]) {
  q.weight: float32[8, 24] = random(seed 311)
  k.weight: float32[8, 8] = random(seed 312)
  v.weight: float32[8, 8] = random(seed 313)
  o.weight: float32[24, 8] = random(seed 314)
  queryHeads: int64[4] = [0, 0, 6, 4]
  keyHeads: int64[4] = [0, 0, 2, 4]
  repeats: int64[5] = [1, 1, 3, 1, 1]
  sixHeads: int64[4] = [0, 6, -1, 4]
  merged: int64[3] = [0, 0, 24]
  inner: int64[1] = [2]
  root: float32[] = 2
  q = MatMul "q" (x, q.weight); k = MatMul "k" (x, k.weight); v = MatMul "v" (x, v.weight)
  q4 = Reshape (q, queryHeads); k4 = Reshape (k, keyHeads); v4 = Reshape (v, keyHeads)
  qh = Transpose (q4) {perm=[0, 2, 1, 3]}
  newKeys = Transpose (k4) {perm=[0, 2, 1, 3]}
  newValues = Transpose (v4) {perm=[0, 2, 1, 3]}
  keys = Concat (pastKey, newKeys) {axis=2}
  values = Concat (pastValue, newValues) {axis=2}
  k5 = Unsqueeze (keys, inner); v5 = Unsqueeze (values, inner)
  kr = Expand (k5, repeats); vr = Expand (v5, repeats)
  k6 = Reshape (kr, sixHeads); v6 = Reshape (vr, sixHeads)
  kt = Transpose (k6) {perm=[0, 1, 3, 2]}
  scores = MatMul (qh, kt)
  scaled = Div (scores, root)
  weights = Softmax (scaled) {axis=-1}
  mixed = MatMul (weights, v6)
  back = Transpose (mixed) {perm=[0, 2, 1, 3]}
  rows = Reshape (back, merged)
  y = MatMul "o" (rows, o.weight)
}`,
  },
  {
    name: "pixel-shuffle",
    inputs: { x: [2, 3, 8, 8] },
    text: `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 2, 16, 16]) {
  c1.weight: float32[5, 3, 3, 3] = random(seed 321)
  c2.weight: float32[16, 20, 1, 1] = random(seed 322)
  c2.bias: float32[16] = random(seed 323)
  c3.weight: float32[12, 4, 3, 3] = random(seed 324)
  c4.weight: float32[2, 3, 1, 1] = random(seed 325)
  h1 = Conv "c1" (x, c1.weight) {pads=[1, 1, 1, 1]}
  deep = SpaceToDepth "fold" (h1) {blocksize=2}
  h2 = Conv "c2" (deep, c2.weight, c2.bias)
  a2 = Relu (h2)
  wide = DepthToSpace "blocks" (a2) {blocksize=2}
  h3 = Conv "c3" (wide, c3.weight) {pads=[1, 1, 1, 1]}
  shuffled = DepthToSpace "shuffle" (h3) {blocksize=2, mode="CRD"}
  a3 = Tanh (shuffled)
  y = Conv "c4" (a3, c4.weight)
}`,
  },
  {
    name: "conv-transpose",
    inputs: { x: [2, 3, 4, 4] },
    text: `opset 21
graph (x: float32[batch, 3, 4, 4]) -> (y: float32[batch, 2, 8, 8]) {
  conv.weight: float32[6, 3, 3, 3] = random(seed 251)
  up.weight: float32[6, 5, 2, 2] = random(seed 252)
  up.bias: float32[5] = random(seed 253)
  slope: float32[5, 1, 1] = random(seed 254, from 0.1 to 0.4)
  head.weight: float32[2, 5, 1, 1] = random(seed 255)
  h = Conv "conv" (x, conv.weight) {pads=[1, 1, 1, 1]}
  a = Elu "elu" (h)
  u = ConvTranspose "up" (a, up.weight, up.bias) {strides=[2, 2]}
  p = PRelu "prelu" (u, slope)
  y = Conv "head" (p, head.weight)
}`,
  },
  {
    name: "weights-as-inputs",
    inputs: { x: [3, 6] },
    text: `ir 3, opset 7
graph (x: float32[3, 6], w1: float32[8, 6] = random(seed 261), b1: float32[8] = random(seed 262), w2: float32[4, 8] = random(seed 263), b2: float32[4] = random(seed 264)) -> (y: float32[3, 4]) {
  h = Gemm (x, w1, b1) {transB=1}
  a = Relu (h)
  y = Gemm (a, w2, b2) {transB=1}
}`,
  },
  {
    name: "subgraph",
    inputs: { x: [3, 6] },
    text: `opset 21
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {
  fc1.weight: float32[8, 6] = random(seed 271)
  fc2.weight: float32[4, 8] = random(seed 272)
  zero: float32[] = 0
  h = Gemm "fc1" (x, fc1.weight) {transB=1}
  total = ReduceSum "total" (h) {keepdims=0}
  positive = Greater "positive" (total, zero)
  y = If "branch" (positive) {then_branch=graph then () -> (a) {
    r = Relu "then_relu" (h)
    a = Gemm "then_fc" (r, fc2.weight) {transB=1}
  }, else_branch=graph else () -> (b) {
    fc3.weight: float32[4, 8] = random(seed 273)
    b = Gemm "else_fc" (h, fc3.weight) {transB=1}
  }}
}`,
  },
];
