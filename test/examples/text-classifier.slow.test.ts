/** Tests the example that trains on texts with a few synthetic ones. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "pith";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { patience, start } from "./start.ts";

/** Returns sentences of six words, one of which determines the class. */
function sentences(count: number): string {
  const neutralWords = ["the", "film", "is", "a", "story"];
  const rows = Array.from({ length: count }, (_, row) => {
    const words = neutralWords.map((_, at) => neutralWords[(row * 7 + at * (row + 1)) % neutralWords.length] ?? "");
    words.splice(row % 5, 0, row % 2 === 0 ? "bad" : "good");
    return `${words.join(" ")}\t${row % 2}`;
  });
  return `${rows.join("\n")}\n`;
}

test(
  "text-classifier: trains a BERT on sentences, and writes a file with PyTorch's names",
  async () => {
    const folder = temporaryFolder();
    const [model, text] = [join(folder, "data", "models", "bert_sst2"), join(folder, "data", "text")];
    for (const each of [model, text]) mkdirSync(each, { recursive: true });
    const words = ["[PAD]", "[UNK]", "the", "film", "is", "a", "story", "good", "bad"];
    const vocab = Object.fromEntries(words.map((word, at) => [word, at]));
    const parts = { pre_tokenizer: { type: "Whitespace" }, normalizer: null, post_processor: null, decoder: null };
    const tokenizer = { added_tokens: [], ...parts, model: { type: "WordLevel", vocab, unk_token: "[UNK]" } };
    writeFileSync(join(model, "tokenizer.json"), JSON.stringify(tokenizer));
    writeFileSync(join(text, "sst2_train.tsv"), sentences(480));
    writeFileSync(join(text, "sst2_dev.tsv"), sentences(60));

    const printed = await start(folder, "text-classifier.ts");
    const losses = [...printed.matchAll(/loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
    expect(losses).toHaveLength(4);
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] ?? 0));
    const [, accuracy] = /accuracy ([\d.]+) % on 60 sentences/.exec(printed) ?? [];
    expect(Number(accuracy)).toBeGreaterThan(90);
    const { graph } = await open(join(folder, "out", "text-classifier.onnx"));
    expect(graph.value("encoder.layer.0.attention.self.query.weight")?.tensor?.dims).toEqual([64, 64]);
  },
  patience,
);

test(
  "text-classifier: reports missing training data",
  async () => {
    expect(await start(temporaryFolder(), "text-classifier.ts")).toMatch(/^There are no sentences to learn from: /);
  },
  patience,
);
