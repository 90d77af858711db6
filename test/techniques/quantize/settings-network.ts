/** A network for settings of layers. */

export const text = `opset 21
graph (x: float32[batch, 64]) -> (y) {
  a.weight: float32[64, 96] = random(seed 1)
  b.weight: float32[96, 96] = random(seed 2)
  c.weight: float32[96, 16] = random(seed 3)
  h = MatMul "a" (x, a.weight)
  r = Relu (h)
  k = MatMul "b" (r, b.weight)
  s = Relu (k)
  y = MatMul "c" (s, c.weight)
}`;
