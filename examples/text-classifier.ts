/**
 * Builds a network with the architecture of BERT and trains it from scratch: is a sentence about a film positive or negative (SST-2)?
 *
 *     class Layer(nn.Module):
 *         def forward(self, x, mask):
 *             x = self.norm1(x + self.dropout(self.attention(x, mask)))
 *             return self.norm2(x + self.dropout(self.down(F.gelu(self.up(x)))))
 *
 * Differences: modules are functions that write an ONNX graph, so Pith checks shapes when you combine them, and saves the trained graph. A mask is
 * an input of the network, which attention names. The file is for inference: dropout is active in training only.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open, save } from "pith";
import { openDataset, openTokenizer, tokenize } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import * as nn from "pith/nn";
import { train } from "pith/train";

const shared = join(process.env.PITH_SHARED ?? fileURLToPath(new URL("../../shared", import.meta.url)), "data");
const folder = join(shared, "models", "bert_sst2");
const tokenizer = existsSync(folder) ? await openTokenizer(folder) : undefined;
if (tokenizer === undefined) {
  console.log(`There are no sentences to learn from: ${shared} has neither SST-2 nor a tokenizer.`);
  process.exit();
}

const [words, width, tokens] = [6000, 64, 32];
const dropped = (block: Readonly<Record<string, nn.Module>>) => nn.residual({ ...block, dropout: nn.dropout(0.2) });
const layer = nn.sequential({
  attention: dropped({ self: nn.attention(width, 4, { mask: "attention_mask" }) }),
  norm1: nn.layerNorm(width),
  feed: dropped({ up: nn.linear(width, 4 * width), gelu: nn.gelu(), down: nn.linear(4 * width, width) }),
  norm2: nn.layerNorm(width),
});
const embeddings = { word: nn.embedding(words, width), position: nn.positionEmbedding(tokens, width) };
const net = nn.network(
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
    seed: 1,
  },
);

const sentences = async (part: string) =>
  tokenize(await openDataset(join(shared, "text", `sst2_${part}.tsv`)), net.graph.feeds, { tokenizer });
await train(
  net,
  { data: await sentences("train"), epochs: 4, batch: 32, optimizer: "adamw", warmup: 0.1, clip: 1 },
  { seed: 1, log: ({ text }) => console.log(text) },
);

await mkdir("out", { recursive: true });
await save(net, "out/text-classifier.onnx");
const model = await open("out/text-classifier.onnx");
const { estimate } = await evaluate(createEngine(), model, await sentences("dev"), accuracy());
console.log(`out/text-classifier.onnx: accuracy ${(100 * estimate.value).toFixed(1)} % on ${estimate.count} sentences`);
