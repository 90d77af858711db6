import { type Example, table } from "./define.examples.ts";

const attention = table({ opset: 24 }, (inputs, call, settings = "") => `(${inputs}) ${call} {${settings}}`);
const separateHeads = "q: float32[batch, 2, 3, 4], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 2]";
const flat = "q: float32[batch, 3, 8], k: float32[batch, 3, 8], v: float32[batch, 3, 4]";
const two = "q_num_heads=2, kv_num_heads=2";
const past = "pk: float32[batch, 2, 2, 4], pv: float32[batch, 2, 2, 2]";

export const attentionExamples: readonly Example[] = attention`
  Attention with heads apart | ${separateHeads} | y = Attention(q, k, v)
  Attention with heads in one axis | ${flat} | y = Attention(q, k, v) | ${two}
  Attention with another scale | ${flat} | y = Attention(q, k, v) | ${two}, scale=0.3
  Attention, causal | ${flat} | y = Attention(q, k, v) | ${two}, is_causal=1
  Attention, causal, over a number of places that has a name |
    q: float32[1, places, 4], k: float32[1, places, 4], v: float32[1, places, 4] | y = Attention(q, k, v)
    | ${two}, is_causal=1 | sizes places: 3
  Attention with a mask that is added | ${separateHeads}, m: float32[3, 5] | y = Attention(q, k, v, m)
  Attention with a mask for each sample, and a query that sees nothing |
    ${separateHeads.replaceAll("batch", "1")}, m: bool[1, 1, 3, 5] | y = Attention(q, k, v, m)
    | feeds m: 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1
  Attention with past keys | ${flat}, ${past} | y, ok, ov = Attention(q, k, v, _, pk, pv) | ${two}, is_causal=1
  Attention with fewer key heads |
    q: float32[batch, 4, 3, 2], k: float32[batch, 2, 3, 2], v: float32[batch, 2, 3, 2] | y = Attention(q, k, v)
  Attention with one key head for all, in one axis |
    q: float32[batch, 2, 8], k: float32[batch, 3, 4], v: float32[batch, 3, 2] | y = Attention(q, k, v)
    | q_num_heads=2, kv_num_heads=1
  Attention with limited products, shown as they are |
    ${separateHeads}, m: float32[3, 5] | y, _, _, qk = Attention(q, k, v, m) | softcap=0.7, qk_matmul_output_mode=0
  Attention with limited products, shown limited |
    ${separateHeads}, m: float32[3, 5] | y, _, _, qk = Attention(q, k, v, m) | softcap=0.7, qk_matmul_output_mode=1
  Attention with limited products, shown with the mask |
    ${separateHeads}, m: float32[3, 5] | y, _, _, qk = Attention(q, k, v, m) | softcap=0.7, qk_matmul_output_mode=2
  Attention with limited products, shown as shares |
    ${separateHeads}, m: float32[3, 5] | y, _, _, qk = Attention(q, k, v, m) | softcap=0.7, qk_matmul_output_mode=3
  Attention with padded keys |
    q: float32[2, 1, 2, 2], k: float32[2, 1, 4, 2], v: float32[2, 1, 4, 2], lengths: int64[2]
    | y = Attention(q, k, v, _, _, _, lengths) | is_causal=1 | feeds lengths: 3, 4
  Attention of opset 23 | opset 23 | ${flat} | y = Attention(q, k, v) | ${two}
`;
