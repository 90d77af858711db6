/** Writes the tokenizer of a model of ten tokens. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

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

export async function writeVocabulary(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify({ pad_token: "[PAD]" }));
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
}
