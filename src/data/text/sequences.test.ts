import { describe, expect, it, test } from "vitest";
import { symbol } from "../../core/tensor/dims.ts";
import type { Batch, DataType, Dense } from "../../core/tensor/types.ts";
import type { ModelInput } from "../batches/bind.ts";
import { memory, tokenize } from "../index.ts";
import { textColumns, unusualTextColumn } from "./sequences.ts";
import { isLanguageModel, tokenInput } from "./token-inputs.ts";
import { createTokenizer, type TextTokenizer } from "./tokenizer.ts";

const [b, t, past] = [symbol("batch"), symbol("sequence"), symbol("past")];
const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "man", "is", "danc", "##ing", "."];
const special = (id: string, type: number) => ({ SpecialToken: { id, type_id: type } });
const sequence = (id: string, type: number) => ({ Sequence: { id, type_id: type } });
const file = {
  version: "1.0",
  added_tokens: [],
  normalizer: {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
    pair: [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] },
    },
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};

function tokenizer(settings: Readonly<Record<string, unknown>> = {}): Promise<TextTokenizer> {
  return createTokenizer("tokenizer.json", file, { pad_token: "[PAD]", model_max_length: 8, ...settings }, {});
}

function input(name: string, dims: NonNullable<ModelInput["type"]>["dims"], type: DataType = "int64"): ModelInput {
  return { name, type: { type, dims } };
}

const bert = ["input_ids", "attention_mask", "token_type_ids"].map((name) => input(name, [b, t]));

function texts(...data: readonly string[]): Dense {
  return { type: "string", dims: [data.length], data };
}

async function made(columns: Batch, inputs: readonly ModelInput[], options = {}): Promise<Batch> {
  const count = Object.values(columns)[0]?.dims[0] ?? 0;
  const positions = Uint32Array.from({ length: count }, (_, at) => at);
  return tokenize(memory("texts", columns), inputs, { tokenizer: await tokenizer(), ...options }).gather(positions);
}

function rows(dense: Dense | undefined): number[][] {
  const [count = 0, width = 0] = dense?.dims ?? [];
  const values = Array.from(dense?.data ?? [], Number);
  return Array.from({ length: count }, (_, row) => values.slice(row * width, (row + 1) * width));
}

describe("tokenize", () => {
  it("pads texts to the longest of the batch, with an attention mask", async () => {
    const label: Dense = { type: "int64", dims: [2], data: BigInt64Array.of(1n, 0n) };
    const batch = await made({ text: texts("A man.", "Dancing"), label }, bert);
    expect(rows(batch.input_ids)).toEqual([
      [2, 4, 5, 9, 3],
      [2, 7, 8, 3, 0],
    ]);
    expect(rows(batch.attention_mask)).toEqual([
      [1, 1, 1, 1, 1],
      [1, 1, 1, 1, 0],
    ]);
    expect([Object.keys(batch), batch.label?.data]).toEqual([
      ["input_ids", "attention_mask", "token_type_ids", "label"],
      BigInt64Array.of(1n, 0n),
    ]);
  });

  it("truncates long texts between special tokens, the longer one of a pair first", async () => {
    const long = await made({ text: texts("a man is dancing . a man is") }, bert);
    expect(rows(long.input_ids)).toEqual([[2, 4, 5, 6, 7, 8, 9, 3]]);
    const pair = { sentence1: texts("a man is dancing a man"), sentence2: texts("a ."), id: texts("x") };
    const both = await made(pair, bert);
    expect(rows(both.input_ids)).toEqual([[2, 4, 5, 6, 3, 4, 9, 3]]);
    expect(rows(both.token_type_ids)).toEqual([[0, 0, 0, 0, 0, 1, 1, 1]]);
    const truncated = await made({ text: texts("a man is dancing") }, bert, { length: 4 });
    expect(rows(truncated.input_ids)).toEqual([[2, 4, 5, 3]]);
  });

  it("pads to a length that the model fixes, on the tokenizer's padding side", async () => {
    const inputs = ["input_ids", "position_ids", "attention_mask"].map((name) => input(name, [b, 6]));
    const batch = await made({ text: texts("a man") }, inputs, {
      tokenizer: await tokenizer({ padding_side: "left" }),
    });
    expect(rows(batch.input_ids)).toEqual([[0, 0, 2, 4, 5, 3]]);
    expect(rows(batch.position_ids)).toEqual([[0, 0, 0, 1, 2, 3]]);
    expect(rows(batch.attention_mask)).toEqual([[0, 0, 1, 1, 1, 1]]);
  });

  it("gives a decoder an empty cache, and the next token as label", async () => {
    const cache = input("past_key_values.0.key", [b, 2, past, 4], "float32");
    const inputs = [input("input_ids", [b, t]), cache, input("use_cache_branch", [1], "bool")];
    const batch = await made({ text: texts("a man", "a") }, inputs, { language: true });
    expect(batch["past_key_values.0.key"]).toEqual({ type: "float32", dims: [2, 2, 0, 4], data: new Float32Array() });
    expect(rows(batch.label)).toEqual([
      [4, 5, 3, -100],
      [4, 3, -100, -100],
    ]);
  });

  it("keeps given tokens and labels", async () => {
    const tokens: Dense = { type: "int64", dims: [1, 3], data: BigInt64Array.of(5n, 6n, 7n) };
    const label: Dense = { type: "int64", dims: [1, 3], data: BigInt64Array.of(6n, 7n, 8n) };
    const batch = await made({ tokens, label }, [input("ids", [b, t])], { language: true });
    expect([rows(batch.ids), rows(batch.label)]).toEqual([[[5, 6, 7]], [[6, 7, 8]]]);
    await expect(made({ tokens, label }, [input("ids", [b, 2])])).rejects.toThrow(
      'has samples of 3 tokens, input "ids" takes 2',
    );
  });

  it("reports a missing tokenizer, missing text, a missing input, and ambiguous columns", async () => {
    const text = { text: texts("a") };
    const none = made(text, bert, { tokenizer: undefined });
    await expect(none).rejects.toThrow("the model has no tokenizer.json next to it");
    const numbers: Dense = { type: "float32", dims: [1, 2], data: new Float32Array(2) };
    await expect(made({ x: numbers }, bert)).rejects.toThrow("contains no text");
    const floats = made(text, [input("x", [b, t], "float32")]);
    await expect(floats).rejects.toThrow('None of the inputs "x" takes token ids');
    const fixed = made(text, [input("input_ids", [b, t]), input("past", [b, 8, 4], "float32")]);
    await expect(fixed).rejects.toThrow("cannot be empty");
    const three = { u: texts("1"), v: texts("2"), w: texts("3") };
    expect(() => textColumns(three, "table")).toThrow("3 columns of text: u, v, w");
    expect(textColumns({ id: texts("1"), Sentence: texts("2"), kind: texts("3") }, "table")).toEqual(["Sentence"]);
    expect(() => textColumns({ q: texts("1"), r: texts("2") }, "table")).toThrow("2 columns of text: q, r");
  });
});

describe("models of text", () => {
  it("tokenInput finds the input of ids by name, or the only integer input", () => {
    expect(tokenInput(bert)?.name).toBe("input_ids");
    expect(tokenInput([input("0", [b, t]), input("1", [b, 4], "float32")])?.name).toBe("0");
    expect(tokenInput([input("left", [b, t]), input("right", [b, t])])).toBeUndefined();
  });

  it("isLanguageModel detects scores for every token of the vocabulary", () => {
    const ids = [input("input_ids", [b, t])];
    const logits = (classes: number): ModelInput[] => [input("logits", [b, t, classes], "float32")];
    expect(isLanguageModel(ids, logits(1024), 1024, "LlamaForCausalLM")).toBe(true);
    expect(isLanguageModel(ids, logits(512), undefined, undefined)).toBe(true);
    expect(isLanguageModel(ids, logits(6000), 6000, "BertForMaskedLM")).toBe(false);
    expect(isLanguageModel(ids, logits(9), 6000, undefined)).toBe(false);
    expect(isLanguageModel(ids, [input("logits", [b, 2], "float32")], 6000, undefined)).toBe(false);
  });
});

it("createTokenizer rejects an invalid file with a message", async () => {
  await expect(createTokenizer("t.json", {}, {}, {})).rejects.toThrow(
    't.json is not a tokenizer: its "model" has no vocabulary.',
  );
  const unknown = { ...file, pre_tokenizer: { type: "Telepathy" } };
  await expect(createTokenizer("t.json", unknown, {}, {})).rejects.toThrow(
    "t.json: this kind of tokenizer is not supported",
  );
});

it("createTokenizer rejects non-integer ids on use, and never pads with them", async () => {
  const vocab = { "[PAD]": 0, "[UNK]": 1, good: 1.5, bad: "2", fine: 3 };
  const model = { ...file.model, type: "WordLevel", vocab, unk_token: "[UNK]" };
  const { plain, padding } = await createTokenizer(
    "t.json",
    { ...file, model, added_tokens: [], post_processor: null },
    {},
    { pad_token_id: 0.5 },
  );
  expect([plain("fine"), padding]).toEqual([[3], 0]);
  expect(() => plain("good")).toThrow("t.json: ids of tokens are whole numbers, got 1.5.");
  expect(() => plain("bad")).toThrow('t.json: ids of tokens are whole numbers, got "2".');
});

it("textColumns excludes paths of images", () => {
  const text = (values: string[]): Dense => ({ type: "string", dims: [values.length], data: values });
  expect(textColumns({ image: text(["a.jpg"]) }, "photos")).toBeUndefined();
  expect(textColumns({ image: text(["a.jpg"]), caption: text(["a cat"]) }, "photos")).toEqual(["caption"]);
});

test("unusualTextColumn returns a text column with an unclear name, and rejects numbers", () => {
  const text = (...data: string[]) => ({ type: "string", dims: [data.length], data }) as const;
  expect(unusualTextColumn({ name: text("Ada", "7") }, "table")).toBe("name");
  expect(unusualTextColumn({ Review: text("good"), id: text("a1") }, "table")).toBeUndefined();
  expect(unusualTextColumn({ text: text("7") }, "table")).toBeUndefined();
  expect(unusualTextColumn({ sentence1: text("a"), sentence2: text("b") }, "table")).toBeUndefined();
  expect(() => unusualTextColumn({ id: text("7", "", "8.5") }, "table")).toThrow('"id", holds numbers');
});
