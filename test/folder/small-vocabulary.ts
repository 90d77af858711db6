/** Folders of a model of ten tokens, with their tokenizer. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";

export const root = temporaryFolder();
const words = ["[PAD]", "[UNK]", "red", "green", "blue", "##s", "a", "b", "grey", "[SEP]"];
const tokenizer = {
  added_tokens: ["[PAD]", "[UNK]", "[SEP]"].map((content) => ({
    ...{ id: words.indexOf(content), content, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  })),
  normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "[SEP]", type_id: 0 } }],
    pair: [],
    special_tokens: { "[SEP]": { id: "[SEP]", ids: [9], tokens: ["[SEP]"] } },
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    ...{ type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100 },
    vocab: Object.fromEntries(words.map((token, id) => [token, id])),
  },
};
const config = { model_type: "bert", vocab_size: 10, pad_token_id: 0, eos_token_id: 9 };

/** @param nodes what is between the tokens' rows, `h`, and the output `y`. */
export async function folderOf(name: string, nodes: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(join(folder, "onnx"), { recursive: true });
  const model = parseModel(`opset 18
graph (input_ids: int64[batch, sequence]) -> (y) {
  table: float32[10, 4] parameter = random(seed 1)
  h = Gather(table, input_ids)
  ${nodes}
}`);
  await save(model, join(folder, "onnx", "model.onnx"));
  await writeVocabulary(folder);
  await writeFile(join(folder, "LICENSE"), "free");
  return folder;
}

export async function writeVocabulary(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify({ pad_token: "[PAD]" }));
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
}

export const plain = "y = Tanh(h)";
export const texts = join(root, "texts.txt");

export async function written(): Promise<string> {
  await writeFile(texts, "red reds\nblue a\n");
  return texts;
}
