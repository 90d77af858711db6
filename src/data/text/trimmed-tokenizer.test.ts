import { describe, expect, test } from "vitest";
import type { PlainObject } from "../../core/plain.ts";
import { createTokenizer } from "./tokenizer.ts";
import {
  configuredIds,
  keptIds,
  requireSameTokens,
  type TokenizerContents,
  trimConfig,
  trimTokenizer,
} from "./trimmed-tokenizer.ts";

const special = (id: number, content: string) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
});

function vocabularyOf(tokens: readonly string[]): PlainObject {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

const letters = [..."abcdefgh"];

const wordPiece: TokenizerContents = {
  file: {
    added_tokens: [special(0, "[PAD]"), special(1, "[UNK]"), special(11, "[SEP]")],
    normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "[SEP]", type_id: 0 } }],
      pair: [
        { Sequence: { id: "A", type_id: 0 } },
        { SpecialToken: { id: "[SEP]", type_id: 0 } },
        { Sequence: { id: "B", type_id: 1 } },
      ],
      special_tokens: { "[SEP]": { id: "[SEP]", ids: [11], tokens: ["[SEP]"] } },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: vocabularyOf(["[PAD]", "[UNK]", "abc", "dead", "##ed", "a", "b", "##a", "##b", "cab", "##bed", "[SEP]"]),
    },
  },
  settings: { pad_token: "[PAD]", unk_token: "[UNK]", added_tokens_decoder: { 11: { content: "[SEP]" } } },
};

const merges = [
  ["a", "b"],
  ["ab", "c"],
  ["c", "d"],
  ["b", "c"],
  ["e", "f"],
  ["abc", "d"],
  ["g", "h"],
];
const bytePair: TokenizerContents = {
  file: {
    added_tokens: [special(0, "<end>")],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: vocabularyOf(["<end>", ...letters, "Ġ", ...merges.map((pair) => pair.join(""))]),
      merges,
    },
  },
  settings: { eos_token: "<end>" },
};

const pieces: [string, number][] = [
  ["<unk>", 0],
  ["▁", -3],
  ["▁ab", -4],
  ["cd", -5],
  ["ef", -12],
  ["gh", -6],
  ...letters.map((letter): [string, number] => [letter, -7]),
];
const unigram: TokenizerContents = {
  file: {
    added_tokens: [special(0, "<unk>")],
    normalizer: null,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", add_prefix_space: true, prepend_scheme: "always" },
    post_processor: null,
    decoder: { type: "Metaspace", replacement: "▁", add_prefix_space: true, prepend_scheme: "always" },
    model: { type: "Unigram", unk_id: 0, vocab: pieces },
  },
  settings: { unk_token: "<unk>" },
};

const tokenizer = ({ file, settings }: TokenizerContents) => createTokenizer("tokenizer.json", file, settings, {});

function trimmed(contents: TokenizerContents, texts: readonly string[]) {
  const before = tokenizer(contents);
  const kept = keptIds(
    contents,
    texts.flatMap((text) => before.encode(text).ids),
  );
  const smaller = trimTokenizer(contents, kept);
  return { before, kept, smaller, after: tokenizer(smaller) };
}

describe("trimmedTokenizer", () => {
  test.each([
    [
      "WordPiece",
      wordPiece,
      ["abc ab", "dead ABC"],
      ["[PAD]", "[UNK]", "abc", "dead", "a", "b", "##a", "##b", "[SEP]"],
    ],
    ["byte pair encoding", bytePair, ["abcd ab"], ["<end>", ...letters, "Ġ", "ab", "abc", "abcd"]],
    ["Unigram", unigram, ["abcd"], ["<unk>", "▁", "▁ab", "cd", "ef", ...letters]],
  ] as const)("keeps used and special tokens, and pieces for any text: %s", (_, contents, texts, stay) => {
    const { before, after, kept, smaller } = trimmed(contents, texts);
    const { vocab } = (smaller.file as { model: { vocab: PlainObject | [string, number][] } }).model;
    expect(Array.isArray(vocab) ? vocab.map(([piece]) => piece) : Object.keys(vocab)).toEqual(stay);
    expect(after.vocabularySize).toBe(stay.length);
    for (const text of texts) requireSameTokens([before, after], kept, { text, pair: texts[0], at: "text" });
  });

  test("keeps merges of kept tokens in order", () => {
    const { smaller } = trimmed(bytePair, ["abcd ab"]);
    expect(smaller.file.model).toMatchObject({
      merges: [
        ["a", "b"],
        ["ab", "c"],
        ["abc", "d"],
      ],
    });
  });

  test("keeps merges in text form as text", () => {
    const model = { ...(bytePair.file.model as PlainObject), merges: merges.map((pair) => pair.join(" ")) };
    const { smaller, before, after, kept } = trimmed({ ...bytePair, file: { ...bytePair.file, model } }, ["abcd"]);
    expect(smaller.file.model).toMatchObject({ merges: ["a b", "ab c", "abc d"] });
    requireSameTokens([before, after], kept, { text: "abcd abc", at: "text" });
  });

  test("renumbers special tokens in every place", () => {
    const { smaller, kept } = trimmed(wordPiece, ["abc"]);
    const place = kept.indexOf(11);
    expect(smaller.file.added_tokens).toMatchObject([{ id: 0 }, { id: 1 }, { id: place }]);
    expect(smaller.file.post_processor).toMatchObject({ special_tokens: { "[SEP]": { ids: [place] } } });
    expect(smaller.settings.added_tokens_decoder).toEqual({ [place]: { content: "[SEP]" } });
  });

  test("requireSameTokens rejects different tokens, with the text and its source", () => {
    const { before, after, kept } = trimmed(wordPiece, ["abc"]);
    expect(() => requireSameTokens([before, after], kept, { text: "cab", at: "queries.txt, text 7" })).toThrow(
      /^queries\.txt, text 7: the smaller tokenizer reads "cab" as other tokens\.$/,
    );
  });

  test.each([[{ type: "Other", vocab: {} }], [{ vocab: {} }]])("keptIds rejects an unknown type: %j", (model) => {
    expect(() => keptIds({ file: { model }, settings: {} }, [])).toThrow(/cannot be made smaller/);
  });
});

describe("a configuration for a trimmed tokenizer", () => {
  const config = {
    vocab_size: 12,
    bos_token_id: null,
    eos_token_id: [11, 2],
    pad_token_id: 0,
    num_labels: 2,
    hidden_size: 12,
    text_config: { vocab_size: 12, image_token_index: 5 },
    vision_config: { vocab_size: 99 },
    suppress_tokens: [3, 5],
    bad_words_ids: [[5], [3, 5]],
    forced_decoder_ids: [[1, 11]],
    lang_to_id: { "<|en|>": 11 },
  };

  test("configuredIds lists the ids that must be kept", () => {
    expect(configuredIds(config)).toEqual([11, 2, 0, 5, 11, 11]);
  });

  test("trimConfig updates sizes and ids, and drops removed tokens from suppression lists", () => {
    expect(trimConfig(config, [0, 2, 5, 11], [12])).toEqual({
      vocab_size: 4,
      bos_token_id: null,
      eos_token_id: [3, 1],
      pad_token_id: 0,
      num_labels: 2,
      hidden_size: 12,
      text_config: { vocab_size: 4, image_token_index: 2 },
      vision_config: { vocab_size: 99 },
      suppress_tokens: [2],
      bad_words_ids: [[2]],
      forced_decoder_ids: [[1, 3]],
      lang_to_id: { "<|en|>": 3 },
    });
  });
});
