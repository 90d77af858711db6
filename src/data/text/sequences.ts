/**
 * Converts texts and tokens to the inputs of transformers. Texts are padded to the longest one of the batch, or to the fixed length of the model. The
 * cache (past_key_values) is empty. For language models, the label of a token is the next token, or −100 for the last token of a text.
 */

import type { BatchChange, Dataset, IndexedDataset, ModelInput } from "#batches";
import { attentionMask, copyInput, mapBatches, take } from "#batches";
import { type Batch, type Dense, dataError, truncateList } from "#ir";
import { imagePathColumn } from "../images/image-batches.ts";
import { emptyCache, tokenInput } from "./token-inputs.ts";
import type { Encoding, TextTokenizer, TokenizerFiles } from "./tokenizer.ts";
import { createTokenizer, missingTokenizerError } from "./tokenizer.ts";

export interface SequenceOptions {
  /** Undefined if the data is already tokenized. */
  readonly tokenizer?: TextTokenizer | undefined;
  /** Maximum number of tokens of a text; the model's maximum by default. Longer texts are truncated. */
  readonly length?: number | undefined;
  readonly missingFiles?: string | undefined;
  /** Whether the model predicts the next token, so that labels are derived from the tokens. */
  readonly language?: boolean;
}

/**
 * Converts texts (see `textColumns`) or tokens (column "tokens", int64 N × T) to a model's inputs.
 * @throws PithError On reading: E_DATA if no input takes token ids, or without text, tokens or a required tokenizer.
 * @example
 * const tokenizer = await openTokenizer("minilm");
 * if (tokenizer === undefined) throw new Error("minilm has no tokenizer.json");
 * const ready = tokenize(await openDataset("queries.txt"), model.graph.feeds, { tokenizer });
 */
export function tokenize(
  dataset: IndexedDataset,
  inputs: readonly ModelInput[],
  options: SequenceOptions,
): IndexedDataset;
export function tokenize(dataset: Dataset, inputs: readonly ModelInput[], options: SequenceOptions): Dataset;
export function tokenize(dataset: Dataset, inputs: readonly ModelInput[], options: SequenceOptions): Dataset {
  const { tokenizer, ...otherOptions } = options;
  const settings = { owner: dataset.name, inputs: inputs.map(copyInput), rest: otherOptions, files: tokenizer?.files };
  const portable = tokenizer !== undefined && settings.files === undefined ? undefined : { kind: "tokenize", settings };
  return mapBatches(dataset, tokenization(settings, tokenizer), portable);
}

export interface TokenizeSettings {
  readonly owner: string;
  readonly inputs: readonly ModelInput[];
  readonly rest: Omit<SequenceOptions, "tokenizer">;
  readonly files: TokenizerFiles | undefined;
}

export function tokenization(
  { owner, inputs, rest, files }: TokenizeSettings,
  tokenizer: TextTokenizer | Promise<TextTokenizer> | undefined = files && createTokenizer(...files),
): BatchChange {
  if (tokenizer === undefined) return (batch) => tokenizeBatch(batch, inputs, rest, owner);
  return async (batch) => tokenizeBatch(batch, inputs, { ...rest, tokenizer: await tokenizer }, owner);
}

/** In public datasets. */
const pairNames = [
  ["text", "text_pair"],
  ["sentence1", "sentence2"],
  ["premise", "hypothesis"],
  ["question1", "question2"],
  ["question", "sentence"],
  ["question", "context"],
  ["query", "passage"],
  ["query", "document"],
] as const;
/** In public datasets, in descending priority. */
const singleNames = ["text", "sentence", "content", "review", "query", "question", "prompt", "input"] as const;

/** Returns the names of the one or two text columns of a batch; undefined without text. @throws PithError E_DATA if it is ambiguous which to use. */
export function textColumns(batch: Batch, owner: string): readonly [string] | readonly [string, string] | undefined {
  const files = imagePathColumn(batch);
  const texts = Object.keys(batch).filter(
    (name) => batch[name]?.type === "string" && batch[name] !== files && name !== "label",
  );
  const [first, second] = texts;
  if (first === undefined) return undefined;
  const columnByLowerName = new Map(texts.map((name) => [name.toLowerCase(), name]));
  for (const names of pairNames) {
    const [text, pair] = names.map((name) => columnByLowerName.get(name));
    if (text !== undefined && pair !== undefined) return [text, pair];
  }
  for (const name of singleNames) {
    const column = columnByLowerName.get(name);
    if (column !== undefined) return [column];
  }
  if (second === undefined) return [first];
  throw dataError(`${owner} has ${texts.length} columns of text: ${truncateList(texts)}.`, {
    hint: 'Name the column to use "text", or two "text" and "text_pair".',
  });
}

/** Returns the name of the only text column, if it is unusual. @throws PithError E_DATA as `textColumns` does, or if it contains only numbers. */
export function unusualTextColumn(batch: Batch, owner: string): string | undefined {
  const [column, pair] = textColumns(batch, owner) ?? [];
  if (column === undefined || pair !== undefined || singleNames.some((name) => name === column.toLowerCase()))
    return undefined;
  const dense = batch[column];
  const cells = dense?.type === "string" ? dense.data : [];
  if (cells.every((cell) => cell.trim() === "" || Number.isFinite(Number(cell))))
    throw dataError(`${owner} has no texts: its only column of text, "${column}", holds numbers.`, {
      hint: 'Texts are read from a column called "text", or two "text" and "text_pair".',
    });
  return column;
}

function tokenizeBatch(batch: Batch, inputs: readonly ModelInput[], options: SequenceOptions, owner: string): Batch {
  const target = tokenInput(inputs);
  if (target === undefined) {
    const names = inputs.map(({ name }) => `"${name}"`).join(", ");
    throw dataError(`None of the inputs ${names} takes token ids, and ${owner} is text.`);
  }
  const rows = encodings(batch, target, options, owner);
  const fixedLength = target.type?.dims?.[1];
  const maxLength = rows.reduce((max, { ids }) => Math.max(max, ids.length), 1);
  const length = typeof fixedLength === "number" ? fixedLength : maxLength;
  if (maxLength > length) {
    throw dataError(`${owner} has samples of ${maxLength} tokens, input "${target.name}" takes ${length}.`, {
      hint: `Set it: \`preprocess: "length=${length}"\`.`,
    });
  }
  const { padding = 0, paddingSide = "right" } = options.tokenizer ?? {};
  const padRows = (value: (row: Encoding, position: number) => number, filler: number): Dense<"int64"> => {
    const data = new BigInt64Array(rows.length * length).fill(BigInt(filler));
    rows.forEach((row, index) => {
      const start = index * length + (paddingSide === "left" ? length - row.ids.length : 0);
      for (let position = 0; position < row.ids.length; position++)
        data[start + position] = BigInt(value(row, position));
    });
    return { type: "int64", dims: [rows.length, length], data };
  };
  const feeds: Record<string, Dense> = {};
  for (const input of inputs) {
    const column = batch[input.name];
    if (input === target) feeds[input.name] = padRows(({ ids }, position) => ids[position] ?? 0, padding);
    // The mask of an encoder is not that of the tokens.
    else if (column !== undefined && batch.tokens !== undefined) feeds[input.name] = column;
    else if (attentionMask.test(input.name)) feeds[input.name] = padRows(() => 1, 0);
    else if (/position_?ids/i.test(input.name)) feeds[input.name] = padRows((_, position) => position, 0);
    else if (/token_?type|segment_?ids/i.test(input.name))
      feeds[input.name] = padRows(({ types }, position) => types[position] ?? 0, 0);
    else if (/^past|past_key|cache/i.test(input.name)) feeds[input.name] = emptyCache(input, rows.length);
    else if (column !== undefined) feeds[input.name] = column;
  }
  const existingLabel = batch.tokens === undefined && options.language === true ? undefined : batch.label;
  const label =
    options.language === true
      ? (existingLabel ?? padRows(({ ids }, position) => ids[position + 1] ?? -100, -100))
      : existingLabel;
  return label === undefined ? feeds : { ...feeds, label };
}

function encodings(batch: Batch, target: ModelInput, options: SequenceOptions, owner: string): readonly Encoding[] {
  const { tokens } = batch;
  if (tokens?.type === "int64" && tokens.dims.length === 2) {
    const [count = 0, width = 0] = tokens.dims;
    return Array.from({ length: count }, (_, row) => {
      const ids = Array.from(tokens.data.subarray(row * width, (row + 1) * width), Number);
      return { ids, types: ids.map(() => 0) };
    });
  }
  const columns = textColumns(batch, owner);
  const { tokenizer } = options;
  if (columns === undefined) throw dataError(`${owner} contains no text.`);
  if (tokenizer === undefined) throw missingTokenizerError(owner, options.missingFiles);
  const fixedLength = target.type?.dims?.[1];
  const longest = options.length ?? (typeof fixedLength === "number" ? fixedLength : tokenizer.longest);
  const [first, second] = columns.map((name) => batch[name]);
  const texts = first?.type === "string" ? first.data : [];
  const pairs = second?.type === "string" ? second.data : [];
  return texts.map((text, row) => tokenizer.encode(text, pairs[row], longest));
}

const maxSamples = 256;

/** Reads the first samples, of texts without marks such as [CLS]. */
export async function unknownShare(dataset: Dataset, tokenizer: TextTokenizer): Promise<number> {
  let [unknown, total] = [0, 0];
  if (tokenizer.unknown === undefined) return 0;
  const count = (ids: readonly number[]): void => {
    for (const id of ids) unknown += Number(id === tokenizer.unknown);
    total += ids.length;
  };
  for await (const batch of take(dataset, maxSamples).batches({ size: 64 })) {
    const { tokens } = batch;
    if (tokens?.type === "int64") count(Array.from(tokens.data, Number));
    for (const name of tokens === undefined ? (textColumns(batch, dataset.name) ?? []) : []) {
      const column = batch[name];
      if (column?.type === "string") for (const text of column.data) count(tokenizer.plain(text));
    }
  }
  return total === 0 ? 0 : unknown / total;
}
