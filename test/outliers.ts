/** Networks with a few weights so large that quantization rounds all others to 0. */

const rows = (of: number, row: (at: number) => readonly number[]): string =>
  JSON.stringify(Array.from({ length: of }, (_, at) => row(at)));
const units = (of: number, value: (at: number) => number): number[] => Array.from({ length: of }, (_, at) => value(at));

/**
 * Returns a network that copies each feature 32 times, passes the copies through two layers, and sums them. Two units of the first layer are always 0.
 * The weights of the second layer that read them have the given size: 1000 rounds all other weights to 0 in 8 and in 4 bits, 60 only in 4 bits.
 * @param inBoth whether the third layer has such weights as well.
 */
export function withOutliers(size: number, inBoth = false): string {
  const passThrough = (row: number, large: number): readonly number[] =>
    units(64, (at) => (at % 32 === 31 && large > 0 ? large : at === row ? 1 : 0));
  return `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[64, 2] parameter = ${rows(64, (at) => (at % 32 === 31 ? [0.01, 0.01] : [at < 32 ? 1 : 0, at < 32 ? 0 : 1]))}
  fc1.bias: float32[64] parameter = ${JSON.stringify(units(64, (at) => (at % 32 === 31 ? -1 : 0)))}
  fc2.weight: float32[64, 64] parameter = ${rows(64, (row) => passThrough(row, size))}
  fc3.weight: float32[64, 64] parameter = ${rows(64, (row) => passThrough(row, inBoth ? size : 0))}
  fc4.weight: float32[2, 64] parameter = ${rows(2, (row) => units(64, (at) => (Math.floor(at / 32) === row ? 1 : 0)))}
  no: float32[64] = zeros
  none: float32[2] = zeros
  a = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  b = Relu(a)
  c = Gemm "fc2" (b, fc2.weight, no) {transB=1}
  d = Gemm "fc3" (c, fc3.weight, no) {transB=1}
  logits = Gemm "fc4" (d, fc4.weight, none) {transB=1}
}
`;
}

export const outliers = withOutliers(1000);

/**
 * A decoder in whose layer of scores, `head`, 8 bits round all weights to 0 except large ones of a feature that is always 0. Each position adds a large number
 * to all of its scores, which hides this loss on random inputs.
 */
export const decoder = `opset 17
graph (input_ids: int64[batch, seq], past_key_values.0.key: float32[batch, past, 64])
    -> (logits: float32[batch, seq, 10], present.0.key: float32[batch, total, 64]) {
  embed: float32[10, 64] = random(seed 1)
  mid: float32[64, 64] = random(seed 2)
  head: float32[64, 10] = ${JSON.stringify(
    Array.from({ length: 64 }, (_, row) =>
      Array.from({ length: 10 }, (_, at) => (row === 63 ? 1000 : Math.sin(7 * row + 13 * at * at))),
    ),
  )}
  shown: float32[64] = ${JSON.stringify(Array.from({ length: 64 }, (_, at) => (at === 63 ? 0 : 1)))}
  axes: int64[1] = [1]
  last: int64[1] = [2]
  far: float32[1] = [1000]
  h = Gather(embed, input_ids)
  m = MatMul "mid" (h, mid)
  present.0.key = Concat(past_key_values.0.key, m) {axis=1}
  all = ReduceSum(present.0.key, axes) {keepdims=1}
  both = Add(h, all)
  seen = Mul(both, shown)
  scores = MatMul "head" (seen, head)
  ids = Cast(input_ids) {to=1}
  above = Mul(ids, far)
  added = Unsqueeze(above, last)
  logits = Add(scores, added)
}`;
