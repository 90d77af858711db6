import { type Example, table } from "../define.examples.ts";

const unrun = { except: { run: "ONNX Runtime has a kernel for it on GPU alone" } };
const counted = "the runtime's products are not lowered to primitives that could be counted";
const grouped = table({ except: { cost: counted } }, (inputs, stored, call) => `(${inputs}) ${stored} ${call}`);
const prompt = "q: float32[batch, 3, 32], k: float32[batch, 3, 16], v: float32[batch, 3, 16]";
const step = "q: float32[batch, 1, 32], k: float32[batch, 1, 16], v: float32[batch, 1, 16]";
const three = "last: int32[2] = [2, 2]; total: int32[] = 3;";
const heads = "num_heads=4, kv_num_heads=2";
const past = "pk: float32[batch, 2, 6, 4], pv: float32[batch, 2, 6, 4]";

const buffered = { feeds: { last: [3, 3] }, except: { run: "its past and present must be one buffer, bound outside" } };
const sparse = (type: string, operands: string): string =>
  `pk: ${type}[batch, 2, 32, 16], pv: ${type}[batch, 2, 32, 16], last: int32[batch])
   rows: int32[1, 3] = [0, 1, 3]; columns: int32[1, 3] = [0, 0, 1]; total: int32[] = 3;
   y: ${type}[batch, 3, 64], k2: ${type}[batch, 2, 32, 16], v2: ${type}[batch, 2, 32, 16] =
   com.microsoft.SparseAttention(${operands}, pk, pv, rows, columns, total, last)
   {num_heads=4, kv_num_heads=2, sparse_block_size=16}`;

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
  ...["float32", "float16"].flatMap(
    (type) => table(buffered)`
    SparseAttention in ${type} |
      (q: ${type}[batch, 3, 64], k: ${type}[batch, 3, 32], v: ${type}[batch, 3, 32], ${sparse(type, "q, k, v")}
  `,
  ),
  ...table(buffered)`
    SparseAttention of packed queries, keys and values | (q: float32[batch, 3, 128], ${sparse("float32", "q, _, _")}
  `,
  ...table()`
    DecoderMaskedMultiHeadAttention of a step |
      (q: float32[batch, 1, 8], k: float32[batch, 1, 8], v: float32[batch, 1, 8], ${past}, at: int32[1])
      y, k2, v2 = com.microsoft.DecoderMaskedMultiHeadAttention(q, k, v, _, _, pk, pv, at)
      {num_heads=2, past_present_share_buffer=1} | feeds at: 2 | except cost: ${counted}
    DecoderMaskedMultiHeadAttention with a mask |
      (q: float32[1, 1, 8], k: float32[1, 1, 8], v: float32[1, 1, 8], m: int32[1, 3], pk: float32[1, 2, 6, 4],
      pv: float32[1, 2, 6, 4], at: int32[1])
      y, k2, v2 = com.microsoft.DecoderMaskedMultiHeadAttention(q, k, v, m, _, pk, pv, at)
      {num_heads=2, past_present_share_buffer=1, scale=0.25} | feeds at: 2 | feeds m: 1, 1, 1 | except cost: ${counted}
    DecoderMaskedMultiHeadAttention across sequences |
      (q: float32[batch, 1, 8], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 4])
      y = com.microsoft.DecoderMaskedMultiHeadAttention(q, k, v) {num_heads=2} | except cost: ${counted}
    RotaryEmbedding of Microsoft of heads |
      (x: float32[batch, 2, 3, 4], at: int64[batch, 3]) cos: float32[6, 2] = random(seed 1);
      sin: float32[6, 2] = random(seed 2); y = com.microsoft.RotaryEmbedding(x, at, cos, sin) | feeds at: from 0 to 6
    RotaryEmbedding of Microsoft of a sequence from a place on, neighbours paired |
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
  ...["", ", qkv_hidden_sizes=[8, 8, 8]", ", scale=0.5"].flatMap(
    (more) => table(unrun)`
    PackedAttention of tokens${more} |
      (x: float32[tokens, 6], at: int32[batch, 3], ends: int32[3]) w: float32[6, 24] = random(seed 1);
      b: float32[24] = random(seed 2); y: float32[tokens, 8] = com.microsoft.PackedAttention(x, w, b, at, ends)
      {num_heads=2${more}} | sizes tokens: 5
  `,
  ),
  ...table(unrun)`
    PackedMultiHeadAttention of tokens |
      (q: float32[tokens, 8], k: float32[tokens, 8], v: float32[tokens, 6], at: int32[batch, 3], ends: int32[3])
      y: float32[tokens, 6] = com.microsoft.PackedMultiHeadAttention(q, k, v, _, at, ends) {num_heads=2} | sizes tokens: 5
    PackedMultiHeadAttention of packed projections | (q: float32[tokens, 2, 3, 4], at: int32[batch, 3], ends: int32[3])
      y: float32[tokens, 8] = com.microsoft.PackedMultiHeadAttention(q, _, _, _, at, ends) {num_heads=2} | sizes tokens: 5
    PackedMultiHeadAttention with biases |
      (q: float32[tokens, 8], k: float32[tokens, 8], v: float32[tokens, 8], at: int32[batch, 3], ends: int32[3]) b: float32[24] = zeros;
      y: float32[tokens, 8] = com.microsoft.PackedMultiHeadAttention(q, k, v, b, at, ends) {num_heads=2, scale=0.25} | sizes tokens: 5
    GatedRelativePositionBias of tokens |
      (q: float32[5, 8], bias: float32[1, 2, 3, 3], at: int32[batch, 3]) b: float32[8] = zeros;
      w: float32[4, 6] = random(seed 1); c: float32[6] = zeros; a: float32[1, 2, 1, 1] = ones;
      y: float32[batch, 2, 3, 3] = com.microsoft.GatedRelativePositionBias(q, b, bias, w, c, a, at) {num_heads=2}
    RelativePositionBias, looking back | () table: float32[8, 2] = random(seed 1); n: int64[1] = [3];
      y: float32[1, 2, 3, 3] = com.microsoft.RelativePositionBias(table, n, n) {max_distance=16, is_bidirectional=0}
    RelativePositionBias, both ways | () table: float32[8, 2] = random(seed 1); n: int64[1] = [3];
      y: float32[1, 2, 3, 3] = com.microsoft.RelativePositionBias(table, n, n) {max_distance=16, is_bidirectional=1}
    RelativePositionBias in half precision | () table: float16[8, 2] = random(seed 1); n: int64[1] = [4];
      y: float16[1, 2, 4, 4] = com.microsoft.RelativePositionBias(table, n, n) {max_distance=16}
  `,
  ...["float32", "float16"].flatMap(
    (type) => table(unrun)`
    GatedRelativePositionBias in ${type} |
      (q: ${type}[batch, 3, 8], bias: ${type}[1, 2, 3, 3]) b: ${type}[8] = zeros; w: ${type}[4, 6] = random(seed 1);
      c: ${type}[6] = zeros; a: ${type}[1, 2, 1, 1] = ones;
      y: ${type}[batch, 2, 3, 3] = com.microsoft.GatedRelativePositionBias(q, b, bias, w, c, a) {num_heads=2}
  `,
  ),
  ...[1, 2, 3].flatMap(
    (length) => table(unrun)`
    GemmaRotaryEmbedding of ${length} tokens |
      (e: float32[batch, ${length}, 4], q: float16[batch, 2, ${length}, 4], q2: float16[batch, 2, ${length}, 4],
      k: float16[batch, 1, ${length}, 4], k2: float16[batch, 1, ${length}, 4]) y: float16[batch, 2, ${length}, 4],
      z: float16[batch, 1, ${length}, 4] = com.microsoft.GemmaRotaryEmbedding(e, q, q2, k, k2)
  `,
  ),
];
