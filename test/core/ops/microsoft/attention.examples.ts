/** Attention with masks of every form, pasts, biases, unequal widths. Without a bias, ONNX Runtime 1.30 crashes on Attention: none is here. */
import { type Example, example, table } from "../define.examples.ts";

const weights = "w: float32[6, 24] = random(seed 1); b: float32[24] = random(seed 2);";
const self = table(
  {},
  (inputs, call, settings = "") => `(x: float32[batch, 3, 6]${inputs}) ${weights} ${call} {num_heads=2${settings}}`,
);
const separate = "q: float32[batch, 3, 8], k: float32[batch, 5, 8], v: float32[batch, 5, 8]";
const step = "q: float32[batch, 3, 8], k: float32[batch, 3, 8], v: float32[batch, 3, 8]";
const past = "pk: float32[batch, 2, 2, 4], pv: float32[batch, 2, 2, 4]";
const multi = table({}, (inputs, call, settings = "") => `(${inputs}) ${call} {num_heads=2${settings}}`);
const codes = { feeds: { x: { from: 0, to: 256 } }, except: { gradient: "it begins with integers" } };
const coded =
  "w: uint8[6, 24] = random(seed 1, from 100 to 156); b: float32[24] = random(seed 2); xs: float32[] = 0.01; ws: float32[] = 0.02; xz: uint8[] = 120; wz: uint8[] = 128;";

export const microsoftAttentionExamples: readonly Example[] = [
  ...self`
    Attention of Microsoft of a sequence |  | y = com.microsoft.Attention(x, w, b)
    Attention of Microsoft with another scale |  | y = com.microsoft.Attention(x, w, b) | , scale=0.3
    Attention of Microsoft that looks back |  | y = com.microsoft.Attention(x, w, b) | , unidirectional=1
    Attention of Microsoft of a sequence of any length |  | y, present = com.microsoft.Attention(x, w, b) | , unidirectional=1
    Attention of Microsoft with a mask of keys |
      , m: int32[batch, 3] | y = com.microsoft.Attention(x, w, b, m) | feeds m: 1, 1, 0, 1, 0, 1
    Attention of Microsoft with a mask of keys and another filter, looking back |
      , m: int32[batch, 3] | y = com.microsoft.Attention(x, w, b, m) | , unidirectional=1, mask_filter_value=-2.0
      | feeds m: 1, 1, 0, 1, 0, 1
    Attention of Microsoft with a mask of pairs |
      , m: int32[batch, 3, 3] | y = com.microsoft.Attention(x, w, b, m)
      | feeds m: 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0
    Attention of Microsoft with lengths | , m: int32[batch] | y = com.microsoft.Attention(x, w, b, m) | feeds m: 2, 3
    Attention of Microsoft with ends and starts | , m: int32[4] | y = com.microsoft.Attention(x, w, b, m) | feeds m: 3, 3, 1, 0
    Attention of Microsoft with a past |
      , past: float32[2, batch, 2, 2, 4] | y, present = com.microsoft.Attention(x, w, b, _, past) | , unidirectional=1
    Attention of Microsoft with something added to the scores |
      , a: float32[1, 2, 3, 3] | y = com.microsoft.Attention(x, w, b, _, _, a)
  `,
  ...table()`
    Attention of Microsoft with narrow values |
      (x: float32[batch, seq, 6]) w: float32[6, 22] = random(seed 1); b: float32[22] = random(seed 2);
      y = com.microsoft.Attention(x, w, b) {num_heads=2, qkv_hidden_sizes=[8, 8, 6]} | sizes seq: 4
    QAttention with a scale for each column |
      (x: uint8[batch, 3, 6]) w: int8[6, 24] = random(seed 1, from -64 to 64); b: float32[24] = random(seed 2);
      xs: float32[] = 0.01; ws: float32[24] = random(seed 3, from 0.001 to 0.01); xz: uint8[] = 120; wz: int8[24] = zeros;
      y = com.microsoft.QAttention(x, w, b, xs, ws, _, xz, wz) {num_heads=2} | feeds x: from 0 to 256
      | except gradient: it begins with integers
  `,
  ...multi`
    MultiHeadAttention across sequences | ${separate} | y = com.microsoft.MultiHeadAttention(q, k, v)
    MultiHeadAttention with biases inside |
      ${separate}, b: float32[24] | y = com.microsoft.MultiHeadAttention(q, k, v, b) | , scale=0.5
    MultiHeadAttention with narrow values, and what it attended to |
      q: float32[batch, 3, 8], k: float32[batch, 5, 8], v: float32[batch, 5, 6]
      | y, pk, pv = com.microsoft.MultiHeadAttention(q, k, v)
    MultiHeadAttention with keys as heads |
      q: float32[batch, 3, 8], k: float32[batch, 2, 5, 4], v: float32[batch, 2, 5, 4]
      | y, pk, pv = com.microsoft.MultiHeadAttention(q, k, v)
    MultiHeadAttention with a mask of keys |
      ${separate}, m: int32[batch, 5] | y = com.microsoft.MultiHeadAttention(q, k, v, _, m)
      | feeds m: 1, 1, 0, 1, 0, 1, 1, 1, 1, 0
    MultiHeadAttention with lengths |
      ${separate}, m: int32[batch] | y = com.microsoft.MultiHeadAttention(q, k, v, _, m) | feeds m: 3, 5
    MultiHeadAttention with a mask of pairs and something added |
      ${separate}, m: int32[batch, 3, 5], a: float32[batch, 1, 3, 5] | y = com.microsoft.MultiHeadAttention(q, k, v, _, m, a)
      | , mask_filter_value=-3.0 | feeds m: from 0 to 2
    MultiHeadAttention with a past, looking back |
      ${step}, ${past} | y, k2, v2 = com.microsoft.MultiHeadAttention(q, k, v, _, _, _, pk, pv) | , unidirectional=1
    MultiHeadAttention of a sequence of any length, looking back |
      q: float32[batch, seq, 8], k: float32[batch, seq, 8], v: float32[batch, seq, 8]
      | y = com.microsoft.MultiHeadAttention(q, k, v) | , unidirectional=1 | sizes seq: 4
    MultiHeadAttention with past and present in one buffer |
      q: float32[batch, 1, 8], k: float32[batch, 1, 8], v: float32[batch, 1, 8], pk: float32[batch, 2, 6, 4],
      pv: float32[batch, 2, 6, 4], at: int32[1] | y, k2, v2 = com.microsoft.MultiHeadAttention(q, k, v, _, _, _, pk, pv, at)
      | feeds at: 2 | no lower: share a buffer | no gradient: is differentiated as its primitives
  `,
  ...table(codes)`
    QAttention of codes | (x: uint8[batch, 3, 6]) ${coded} y = com.microsoft.QAttention(x, w, b, xs, ws, _, xz, wz) {num_heads=2}
  `,
  example(
    "QAttention with a mask",
    `(x: uint8[batch, 3, 6], m: int32[batch, 3]) ${coded} y = com.microsoft.QAttention(x, w, b, xs, ws, m, xz, wz) {num_heads=2, unidirectional=1}`,
    { ...codes, feeds: { ...codes.feeds, m: [1, 1, 0, 1, 0, 1] } },
  ),
];
