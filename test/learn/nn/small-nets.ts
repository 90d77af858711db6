/** Small networks for texts and images. */
import type { Model } from "../../../src/core/graph/model.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import {
  attention,
  batchNorm,
  conv2d,
  dropout,
  embedding,
  flatten,
  gelu,
  globalAveragePool,
  layerNorm,
  linear,
  maxPool,
  network,
  positionEmbedding,
  relu,
  residual,
  select,
  sequential,
  silu,
} from "../../../src/learn/nn/index.ts";

export async function everything(model: Model): Promise<Readonly<Record<string, unknown>>> {
  const tensors: Record<string, unknown> = {};
  for (const { name, tensor } of model.graph.values())
    if (tensor !== undefined) tensors[name] = (await tensor.read()).data;
  return tensors;
}

/** Returns texts of six out of twenty words. The class is whether word 1 is among them. */
export function texts(count: number) {
  const draws = random(5, "texts");
  const words = Array.from({ length: count * 6 }, () => 2 + draws.integer(18));
  const labels = Array.from({ length: count }, (_, row) => {
    const has = draws.integer(2);
    if (has === 1) words[row * 6 + draws.integer(6)] = 1;
    return has;
  });
  return memory("texts", {
    input_ids: int64([count, 6], words),
    attention_mask: int64([count, 6], new Array(count * 6).fill(1)),
    label: int64([count], labels),
  });
}

/** Returns images of 8 × 8 pixels. The class is whether the bright stripe is horizontal or vertical. */
export function stripes(count: number) {
  const draws = random(6, "stripes");
  const labels = Array.from({ length: count }, () => draws.integer(2));
  const data = labels.flatMap((label) => {
    const at = draws.integer(8);
    return Array.from({ length: 64 }, (_, pixel) => {
      const place = label === 0 ? Math.floor(pixel / 8) : pixel % 8;
      return (place === at ? 1 : 0) + draws.normal(0, 0.2);
    });
  });
  return memory("stripes", { input: float32([count, 1, 8, 8], data), label: int64([count], labels) });
}

export const textNet = (): Model =>
  network(
    {
      embeddings: sequential({ word: embedding(20, 16), position: positionEmbedding(6, 16), norm: layerNorm(16) }),
      encoder: sequential([
        residual(attention(16, 2, { mask: "attention_mask" })),
        layerNorm(16),
        residual({ up: linear(16, 32), gelu: gelu(), drop: dropout(0.05), down: linear(32, 16) }),
      ]),
      first: select(1, 0),
      classifier: linear(16, 2),
    },
    {
      input: {
        input_ids: { type: "int64", dims: ["batch", "tokens"] },
        attention_mask: { type: "int64", dims: ["batch", "tokens"] },
      },
      seed: 1,
    },
  );

export const imageNet = (): Model =>
  network(
    {
      conv: conv2d(1, 8, 3, { padding: 1, bias: false }),
      bn: batchNorm(8),
      relu: relu(),
      pool: maxPool(2),
      block: residual({ conv: conv2d(8, 8, 3, { padding: 1, groups: 2 }), bn: batchNorm(8), silu: silu() }),
      mean: globalAveragePool(),
      flatten: flatten(),
      fc: linear(8, 2),
    },
    { input: ["batch", 1, 8, 8], seed: 1 },
  );
