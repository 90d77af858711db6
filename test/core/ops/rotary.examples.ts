import { between, type Example, table } from "./define.examples.ts";

const rotary = table(
  { opset: 23 },
  (x, cache, settings = "") =>
    `(x: float32[${x}], cos: float32[${cache}], sin: float32[${cache}]) y = RotaryEmbedding(x, cos, sin) {${settings}}`,
);
const picked = table(
  { opset: 23, feeds: { positions: between(0, 5) } },
  (
    x,
    settings,
  ) => `(x: float32[2, ${x}], positions: int64[2, 3]) cos: float32[5, 2] = random(seed 1); sin: float32[5, 2] = random(seed 2);
     y = RotaryEmbedding(x, cos, sin, positions) {${settings}}`,
);

export const rotaryExamples: readonly Example[] = [
  ...rotary`
    RotaryEmbedding of heads apart | batch, 2, 3, 4 | batch, 3, 2
    RotaryEmbedding of neighbors | batch, 2, 3, 4 | batch, 3, 2 | interleaved=1
    RotaryEmbedding of a part of each head | 1, 2, 3, 6 | 1, 3, 2 | rotary_embedding_dim=4
  `,
  ...picked`
    RotaryEmbedding by position, heads in one axis | 3, 8 | num_heads=2
    RotaryEmbedding of neighbors by position | 2, 3, 4 | interleaved=1
  `,
];
