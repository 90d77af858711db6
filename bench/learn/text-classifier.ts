/**
 * A network of the shape of BERT, from nothing: is a sentence about a film kind or not (SST-2)? The network and recipe of
 * examples/text-classifier.ts, three times from other weights.
 */
import { openDataset, openTokenizer, tokenize } from "pith/data";
import * as nn from "pith/nn";
import { shared } from "../../test/shared.ts";
import type { FromScratch } from "./scratch.ts";

const [words, width, tokens] = [6000, 64, 32];
const dropped = (block: Readonly<Record<string, nn.Module>>) => nn.residual({ ...block, dropout: nn.dropout(0.2) });
const layer = nn.sequential({
  attention: dropped({ self: nn.attention(width, 4, { mask: "attention_mask" }) }),
  norm1: nn.layerNorm(width),
  feed: dropped({ up: nn.linear(width, 4 * width), gelu: nn.gelu(), down: nn.linear(4 * width, width) }),
  norm2: nn.layerNorm(width),
});
const embeddings = { word: nn.embedding(words, width), position: nn.positionEmbedding(tokens, width) };

export const textClassifier: FromScratch = {
  name: "text-classifier",
  what: "two layers of BERT on the 6,920 sentences of SST-2",
  recipe: {
    ...{ epochs: 4, batch: 32, optimizer: "adamw", learningRate: 0.001, schedule: "cosine", warmup: 0.1, clip: 1 },
  },
  seeds: [1, 2, 3],
  within: 0.01,
  build: (seed) =>
    nn.network(
      {
        embeddings: nn.sequential({ ...embeddings, norm: nn.layerNorm(width), dropout: nn.dropout(0.2) }),
        encoder: nn.sequential({ layer: nn.sequential([layer, layer]) }),
        first: nn.select(1, 0),
        classifier: nn.linear(width, 2),
      },
      {
        input: {
          input_ids: { type: "int64", dims: ["batch", tokens] },
          attention_mask: { type: "int64", dims: ["batch", tokens] },
        },
        seed,
      },
    ),
  async data(model) {
    const [folder, text] = [shared("data/models/bert_sst2"), shared("data/text")];
    const tokenizer = folder === undefined ? undefined : await openTokenizer(folder);
    if (tokenizer === undefined || text === undefined) return undefined;
    const part = async (name: string) =>
      tokenize(await openDataset(`${text}/sst2_${name}.tsv`), model.graph.feeds, { tokenizer });
    return { train: await part("train"), test: await part("dev") };
  },
};
