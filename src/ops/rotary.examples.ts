/** Positions as angles: halves or neighbours turned, whole heads or a part, caches as they are or picked by position. */
import { between, type Example, example } from "./define.examples.ts";

type More = Parameters<typeof example>[2];

const rotary = (title: string, x: string, cache: string, settings = "", more: More = {}): Example =>
  example(
    title,
    `(x: float32[${x}], cos: float32[${cache}], sin: float32[${cache}]) y = RotaryEmbedding(x, cos, sin) {${settings}}`,
    { opset: 23, ...more },
  );
const picked = (title: string, x: string, settings: string): Example =>
  example(
    title,
    `(x: float32[2, ${x}], positions: int64[2, 3]) cos: float32[5, 2] = random(seed 1); sin: float32[5, 2] = random(seed 2);
     y = RotaryEmbedding(x, cos, sin, positions) {${settings}}`,
    { opset: 23, feeds: { positions: between(0, 5) } },
  );

export const rotaryExamples: readonly Example[] = [
  rotary("RotaryEmbedding of heads apart", "batch, 2, 3, 4", "batch, 3, 2"),
  rotary("RotaryEmbedding of neighbours", "batch, 2, 3, 4", "batch, 3, 2", "interleaved=1"),
  rotary("RotaryEmbedding of a part of each head", "1, 2, 3, 6", "1, 3, 2", "rotary_embedding_dim=4"),
  picked("RotaryEmbedding by position, heads in one axis", "3, 8", "num_heads=2"),
  picked("RotaryEmbedding of neighbours by position", "2, 3, 4", "interleaved=1"),
];
