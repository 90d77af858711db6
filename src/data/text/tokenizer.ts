/** Tokenizes text as tokenizer.json (Hugging Face) describes. Truncation keeps marks such as [CLS], and shortens the longer of two texts. */

import type { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { dataError, errorMessage, isNestedDeeper, isObject, PithError, type PlainObject } from "#ir";
import { fileKind, joinPath, readText } from "#platform";

export interface Encoding {
  readonly ids: readonly number[];
  /** For each token, 0 if it belongs to the first text of a pair, 1 for the second. */
  readonly types: readonly number[];
}

export interface TextTokenizer {
  readonly name: string;
  readonly vocabularySize: number;
  /** Maximum number of tokens that the model accepts; undefined if no file states it. */
  readonly longest: number | undefined;
  readonly padding: number;
  readonly paddingSide: "left" | "right";
  /** Id of unknown tokens; undefined if the files name none. */
  readonly unknown?: number | undefined;
  /** Arguments of `createTokenizer`. Undefined for custom tokenizers, which cannot be sent to other threads. */
  readonly files?: TokenizerFiles;
  /** Encodes one or two texts with marks. The result has at most `longest` tokens. */
  encode(text: string, pair?: string, longest?: number): Encoding;
  /** Encodes a text without marks such as [CLS]. */
  plain(text: string): readonly number[];
  /** Returns the text of tokens, without marks. Undefined for custom tokenizers, which only encode. */
  decode?(ids: readonly number[]): string;
}

/** The name of tokenizer.json, and the contents of tokenizer.json, tokenizer_config.json and config.json. */
export type TokenizerFiles = readonly [name: string, file: PlainObject, settings: PlainObject, model: PlainObject];

/** Lengths of at least this value mean "unlimited", for which transformers writes 10³⁰. */
const noLimit = 1e6;

/**
 * Opens the tokenizer in a folder; returns undefined if the folder has no tokenizer.json.
 * @throws PithError E_DATA if the tokenizer is invalid.
 * @example
 * const tokenizer = await openTokenizer("minilm");
 */
export async function openTokenizer(folder: string): Promise<TextTokenizer | undefined> {
  const path = joinPath(folder, "tokenizer.json");
  if ((await fileKind(path)) !== "file") return undefined;
  const [file, settings, model] = await Promise.all([
    readSettings(path),
    readSettings(joinPath(folder, "tokenizer_config.json")),
    readSettings(joinPath(folder, "config.json")),
  ]);
  return createTokenizer(path, file ?? {}, settings ?? {}, model ?? {});
}

/** @param missingFiles sidecar files that were not copied to the model's folder. */
export function missingTokenizerError(
  name: string,
  missingFiles: string | undefined,
  otherAdvice: readonly string[] = [],
): PithError {
  const advice =
    missingFiles === undefined
      ? "Put the tokenizer.json of the model beside it, or in the folder above."
      : `Copy the files of the original to the folder of the model: ${missingFiles}.`;
  return dataError(`${name} is text, and the model has no tokenizer.json next to it.`, {
    hint: [advice, ...otherAdvice].join(" "),
  });
}

/** The code that reads settings is recursive, so deeper ones could overflow the stack. */
const maxDepth = 100;

/** Returns undefined if the file does not exist. @throws PithError E_DATA if it does not contain a JSON object. */
export async function readSettings(path: string): Promise<PlainObject | undefined> {
  if ((await fileKind(path)) !== "file") return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readText(path));
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    throw dataError(`${path} is not JSON.`, { cause });
  }
  if (isNestedDeeper(parsed, maxDepth))
    throw dataError(`${path}: expected at most ${maxDepth} levels of arrays and objects, got more.`);
  if (isObject(parsed)) return parsed;
  throw dataError(`${path} should hold an object.`);
}

/** @throws PithError E_DATA for an unsupported kind of tokenizer. */
export async function createTokenizer(
  name: string,
  file: PlainObject,
  settings: PlainObject,
  model: PlainObject,
): Promise<TextTokenizer> {
  const { model: vocabularyModel } = file;
  if (!isObject(vocabularyModel) || vocabularyModel.vocab === undefined) {
    throw dataError(`${name} is not a tokenizer: its "model" has no vocabulary.`, {
      hint: "Use the tokenizer.json that was exported with the model.",
    });
  }
  // Loaded here, because most commands read no text.
  const { Tokenizer } = await import("@huggingface/tokenizers");
  let library: LibraryTokenizer;
  try {
    library = new Tokenizer(file, settings);
  } catch (cause) {
    const text = `${name}: this kind of tokenizer is not supported (${errorMessage(cause)}).`;
    throw dataError(text, { cause });
  }
  const unknown = unknownId(library, vocabularyModel);
  // For a word that a WordLevel vocabulary lacks, the library returns undefined instead of an id.
  const checkedIds = (ids: readonly (number | undefined)[]): readonly number[] =>
    ids.map((id = unknown ?? 0) => {
      if (Number.isSafeInteger(id)) return id;
      throw dataError(`${name}: ids of tokens are whole numbers, got ${JSON.stringify(id)}.`);
    });
  const encodePlain = (text: string): readonly number[] =>
    checkedIds(library.encode(text, { add_special_tokens: false }).ids);
  const encodeAll = (text: string, pair: string | undefined): Encoding => {
    const options = { add_special_tokens: true, return_token_type_ids: true as const };
    const encoding = library.encode(text, pair === undefined ? options : { ...options, text_pair: pair });
    return { ids: checkedIds(encoding.ids), types: encoding.token_type_ids ?? encoding.ids.map(() => 0) };
  };
  const limits = [settings.model_max_length, model.max_position_embeddings].filter(
    (value): value is number => typeof value === "number" && value > 0 && value < noLimit,
  );
  return {
    name,
    vocabularySize: sizeOf(vocabularyModel.vocab, file.added_tokens),
    longest: limits.length === 0 ? undefined : Math.min(...limits),
    padding: paddingId(library, settings, model),
    paddingSide: settings.padding_side === "left" ? "left" : "right",
    unknown,
    files: [name, file, settings, model],
    plain: encodePlain,
    // The library rejects no tokens, which an utterance of silence has.
    decode: (ids) => (ids.length === 0 ? "" : library.decode([...ids], { skip_special_tokens: true })),
    encode(text, pair, longest) {
      const encoding = encodeAll(text, pair);
      if (longest === undefined || encoding.ids.length <= longest) return encoding;
      return truncate(encoding, encodePlain(text), pair === undefined ? [] : encodePlain(pair), longest);
    },
  };
}

/** Shortens one or two texts until the encoding, including its marks such as [CLS], has `longest` tokens. */
function truncate(
  { ids, types }: Encoding,
  first: readonly number[],
  second: readonly number[],
  longest: number,
): Encoding {
  const marks = ids.length - first.length - second.length;
  const firstStart = positionOf(ids, first, 0);
  const secondStart = second.length === 0 ? ids.length : positionOf(ids, second, firstStart + first.length);
  // If the texts cannot be found in the encoding, the end of the encoding is cut off.
  if (marks < 0 || marks > longest || firstStart < 0 || secondStart < 0) {
    return { ids: ids.slice(0, longest), types: types.slice(0, longest) };
  }
  let [keptFirst, keptSecond] = [first.length, second.length];
  for (let excess = ids.length - longest; excess > 0; excess--) {
    if (keptFirst >= keptSecond) keptFirst--;
    else keptSecond--;
  }
  const isKept = (_: number, position: number): boolean => {
    if (position >= firstStart && position < firstStart + first.length) return position < firstStart + keptFirst;
    return position < secondStart + keptSecond || position >= secondStart + second.length;
  };
  return { ids: ids.filter(isKept), types: types.filter(isKept) };
}

function positionOf(ids: readonly number[], part: readonly number[], from: number): number {
  for (let start = from; start + part.length <= ids.length; start++) {
    if (part.every((id, index) => ids[start + index] === id)) return start;
  }
  return -1;
}

function paddingId(library: LibraryTokenizer, settings: PlainObject, model: PlainObject): number {
  const { pad_token: token } = settings;
  const content = isObject(token) ? token.content : token;
  const id = typeof content === "string" ? library.token_to_id(content) : undefined;
  if (id !== undefined) return id;
  return Number.isSafeInteger(model.pad_token_id) ? Number(model.pad_token_id) : 0;
}

/** Reads the id (`unk_id`) or the token (`unk_token`) of tokenizer.json. */
function unknownId(library: LibraryTokenizer, { unk_token: token, unk_id: id }: PlainObject): number | undefined {
  if (typeof id === "number") return id;
  return typeof token === "string" ? library.token_to_id(token) : undefined;
}

function sizeOf(vocabulary: unknown, tokens: unknown): number {
  const size = Array.isArray(vocabulary)
    ? vocabulary.length
    : isObject(vocabulary)
      ? Object.keys(vocabulary).length
      : 0;
  const more = Array.isArray(tokens) ? tokens.map((token) => (isObject(token) ? Number(token.id) + 1 : 0)) : [];
  return Math.max(size, ...more);
}
