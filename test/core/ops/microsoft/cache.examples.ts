import { type Example, table } from "../define.examples.ts";

const counted = "the runtime's products are not lowered to primitives that could be counted";
const grouped = table({ except: { cost: counted } }, (inputs, stored, call) => `(${inputs}) ${stored} ${call}`);
const prompt = "q: float32[batch, 3, 32], k: float32[batch, 3, 16], v: float32[batch, 3, 16]";
const step = "q: float32[batch, 1, 32], k: float32[batch, 1, 16], v: float32[batch, 1, 16]";
const three = "last: int32[2] = [2, 2]; total: int32[] = 3;";
const heads = "num_heads=4, kv_num_heads=2";

export const microsoftCacheExamples: readonly Example[] = [
  ...grouped`
    GroupQueryAttention of a prompt |
      ${prompt} | ${three} | y, pk, pv = com.microsoft.GroupQueryAttention(q, k, v, _, _, last, total) {${heads}}
    GroupQueryAttention of packed queries, keys and values, within a window |
      q: float32[batch, 3, 64] | ${three} | y, pk, pv = com.microsoft.GroupQueryAttention(q, _, _, _, _, last, total)
      {${heads}, local_window_size=2}
    GroupQueryAttention of a step after a past |
      ${step}, pk: float32[batch, 2, 5, 8], pv: float32[batch, 2, 5, 8] | last: int32[2] = [5, 5]; total: int32[] = 6;
      | y, k2, v2 = com.microsoft.GroupQueryAttention(q, k, v, pk, pv, last, total) {${heads}}
    GroupQueryAttention of samples of their own lengths, turned by their places |
      q: float32[batch, 3, 64], k: float32[batch, 3, 32], v: float32[batch, 3, 32], last: int32[batch] | total: int32[] = 3;
      cos: float32[6, 8] = random(seed 1); sin: float32[6, 8] = random(seed 2);
      | y, pk, pv = com.microsoft.GroupQueryAttention(q, k, v, _, _, last, total, cos, sin) {${heads}, do_rotary=1}
      | feeds last: 2, 1
    GroupQueryAttention of capped scores and a bias, scaled |
      ${prompt}, added: float32[1, 4, 3, 3] | ${three}
      | y, pk, pv = com.microsoft.GroupQueryAttention(q, k, v, _, _, last, total, _, _, _, added)
      {${heads}, softcap=1.5, scale=0.5}
    GroupQueryAttention of a step in a longer buffer |
      ${step}, pk: float32[batch, 2, 9, 8], pv: float32[batch, 2, 9, 8] | last: int32[2] = [5, 5]; total: int32[] = 6;
      | y, k2, v2 = com.microsoft.GroupQueryAttention(q, k, v, pk, pv, last, total) {${heads}}
      | no lower: its cache is a preallocated buffer | no gradient: is differentiated as its primitives
    GroupQueryAttention of as many tokens as are fed |
      ${prompt}, last: int32[batch], total: int32[] |
      | y, pk, pv = com.microsoft.GroupQueryAttention(q, k, v, _, _, last, total) {${heads}} | feeds last: 2, 2 | feeds total: 3
      | except types: how long the cache is, is fed
  `,
  ...table()`
    RotaryEmbedding of Microsoft of heads |
      (x: float32[batch, 2, 3, 4], at: int64[batch, 3]) cos: float32[6, 2] = random(seed 1);
      sin: float32[6, 2] = random(seed 2); y = com.microsoft.RotaryEmbedding(x, at, cos, sin) | feeds at: from 0 to 6
    RotaryEmbedding of Microsoft of a sequence from a place on, neighbors paired |
      (x: float32[batch, 3, 8], at: int64[1]) cos: float32[6, 2] = random(seed 1); sin: float32[6, 2] = random(seed 2);
      y = com.microsoft.RotaryEmbedding(x, at, cos, sin) {interleaved=1} | feeds at: 2
    RotaryEmbedding of Microsoft of part of each head |
      (x: float32[batch, seq, 12], at: int64[batch, seq]) cos: float32[6, 2] = random(seed 1);
      sin: float32[6, 2] = random(seed 2); y = com.microsoft.RotaryEmbedding(x, at, cos, sin)
      {num_heads=2, rotary_embedding_dim=4} | feeds at: from 0 to 6 | sizes seq: 3
    RotaryEmbedding of Microsoft of packed tokens |
      (x: float32[batch, 3, 8], at: int64[batch, 3]) cos: float32[6, 2] = random(seed 1); sin: float32[6, 2] = random(seed 2);
      y = com.microsoft.RotaryEmbedding(x, at, cos, sin) {is_packed_batching=1} | feeds at: from 0 to 6 | no lower: are packed
      | no gradient: is differentiated as its primitives
  `,
];
