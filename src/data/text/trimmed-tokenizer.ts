/**
 * Reduces a tokenizer's vocabulary so that given texts have the same tokens as before. It keeps the tokens that occur, added and special tokens, and
 * single characters and bytes. Kept tokens stay in order and get the ids 0, 1, 2, …
 *
 * For WordPiece (longest match) and Unigram (best split), tokens that do not occur have no effect. Byte pair encoding repeatedly merges the pair with
 * the lowest rank. The merges that build the kept tokens stay in order, so each step merges the same pair as before.
 */
import { PithError } from "#ir";
import { isObject, type PlainObject } from "../../core/plain.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** The kept ids in ascending order. The index of an id is its new id. */
export type KeptIds = readonly number[];

export interface TokenizerContents {
  readonly file: PlainObject;
  readonly settings: PlainObject;
}

/**
 * Returns the ids to keep.
 * @param usedIds The ids of the texts' tokens, and other ids to keep.
 * @throws PithError E_UNSUPPORTED for unsupported kinds of tokenizers.
 */
export function keptIds({ file, settings }: TokenizerContents, usedIds: Iterable<number>): KeptIds {
  const { model } = file;
  const tokens = tokensOf(model);
  const idOf = new Map([...tokens].map(([id, token]) => [token, id]));
  const kept = new Set(usedIds);
  const keepToken = (token: unknown): void => {
    const id = typeof token === "string" ? idOf.get(token) : undefined;
    if (id !== undefined) kept.add(id);
  };
  for (const id of [...addedIds(file.added_tokens), ...addedIds(settings.added_tokens_decoder)]) kept.add(id);
  mapIds(file.post_processor, (id) => {
    kept.add(id);
    return id;
  });
  for (const value of Object.values(settings)) keepToken(isObject(value) ? value.content : value);
  if (isObject(model)) {
    keepToken(model.unk_token);
    if (typeof model.unk_id === "number") kept.add(model.unk_id);
    const affixes = [model.continuing_subword_prefix, model.end_of_word_suffix].flatMap((text) =>
      typeof text === "string" && text !== "" ? [text] : [],
    );
    if (model.type !== "WordLevel") for (const [id, token] of tokens) if (isSingle(token, affixes)) kept.add(id);
    // Unigram derives the cost of unknown tokens from the piece with the lowest score, so this piece is kept.
    if (model.type === "Unigram") for (const id of lowestPiece(model.vocab)) kept.add(id);
    for (const id of [...kept])
      for (const merge of mergesOf(model, tokens.get(id)))
        for (const token of [...merge, merge.join("")]) keepToken(token);
  }
  return [...kept].sort((a, b) => a - b);
}

export function trimTokenizer({ file, settings }: TokenizerContents, kept: KeptIds): TokenizerContents {
  const newIds = new Map(kept.map((id, index) => [id, index]));
  const { model } = file;
  if (!isObject(model)) return { file, settings };
  const tokens = tokensOf(model);
  const texts = new Set(kept.flatMap((id) => tokens.get(id) ?? []));
  const neededMerges = new Set(kept.flatMap((id) => mergesOf(model, tokens.get(id)).map(mergeKey)));
  const merges = (Array.isArray(model.merges) ? model.merges : []).filter((merge) => {
    const pair = pairOf(merge);
    return pair !== undefined && neededMerges.has(mergeKey(pair)) && texts.has(pair.join(""));
  });
  const vocab = Array.isArray(model.vocab)
    ? kept.flatMap((id) => (tokens.has(id) && Array.isArray(model.vocab) ? [model.vocab[id]] : []))
    : Object.fromEntries(kept.flatMap((id, index) => (tokens.has(id) ? [[tokens.get(id), index]] : [])));
  const newIdOf = (id: number): number => newIds.get(id) ?? id;
  const trimmedModel = {
    ...model,
    vocab,
    ...(model.merges === undefined ? {} : { merges }),
    ...(typeof model.unk_id === "number" ? { unk_id: newIdOf(model.unk_id) } : {}),
  };
  const addedTokens = Array.isArray(file.added_tokens) ? file.added_tokens : [];
  const padding = isObject(file.padding) && typeof file.padding.pad_id === "number" ? file.padding : undefined;
  const decoder = settings.added_tokens_decoder;
  return {
    file: {
      ...file,
      ...(file.added_tokens === undefined
        ? {}
        : {
            added_tokens: addedTokens.map((token) =>
              isObject(token) ? { ...token, id: newIdOf(Number(token.id)) } : token,
            ),
          }),
      ...(file.post_processor === undefined ? {} : { post_processor: mapIds(file.post_processor, newIdOf) }),
      ...(padding === undefined ? {} : { padding: { ...padding, pad_id: newIdOf(Number(padding.pad_id)) } }),
      model: trimmedModel,
    },
    settings: isObject(decoder)
      ? {
          ...settings,
          added_tokens_decoder: Object.fromEntries(
            Object.entries(decoder).map(([id, token]) => [String(newIdOf(Number(id))), token]),
          ),
        }
      : settings,
  };
}

/** Checks that both tokenizers split a text into the same tokens. @throws PithError E_DATA if the tokens differ. */
export function requireSameTokens(
  [before, after]: readonly [TextTokenizer, TextTokenizer],
  kept: KeptIds,
  { text, pair, at }: { readonly text: string; readonly pair?: string | undefined; readonly at: string },
): void {
  const [original, trimmed] = [before.encode(text, pair), after.encode(text, pair)];
  const isSame =
    trimmed.ids.length === original.ids.length &&
    trimmed.ids.every((id, index) => kept[id] === original.ids[index]) &&
    trimmed.types.every((type, index) => type === original.types[index]);
  if (isSame) return;
  const textStart = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  throw new PithError("E_DATA", `${at}: the smaller tokenizer reads ${JSON.stringify(textStart)} as other tokens.`, {
    hint: "This tokenizer cannot be made smaller for these texts.",
  });
}

const idKey = /(^|_)token_(id|ids|index)$|^(suppress_tokens|begin_suppress_tokens|bad_words_ids|forced_decoder_ids)$/;

export function configuredSizes(config: unknown): readonly number[] {
  const sizes: number[] = [];
  mapConfig(config, (key, value) => {
    if (key === "vocab_size" && typeof value === "number") sizes.push(value);
    return value;
  });
  return sizes;
}

/** Returns the token ids in a configuration. They can exceed the vocabulary if the configuration was copied from a larger model. */
export function configuredIds(config: unknown): readonly number[] {
  const ids: number[] = [];
  mapConfig(config, (key, value) => {
    if (!idKey.test(key)) return value;
    // Suppressed tokens are not needed, because a token that is removed cannot occur. In pairs of position and token (forced_decoder_ids), the token
    // is last.
    if (/suppress|bad_words/.test(key)) return value;
    for (const id of [value].flat()) {
      const last = Array.isArray(id) ? id.at(-1) : id;
      if (typeof last === "number" && last >= 0) ids.push(last);
    }
    return value;
  });
  return ids;
}

/**
 * Returns a configuration with the reduced sizes and new ids.
 * @param sizes The original vocabulary sizes: the number of tokens, and the number of rows of the embedding table.
 */
export function trimConfig(config: PlainObject, kept: KeptIds, sizes: readonly number[]): PlainObject {
  const newIds = new Map(kept.map((id, index) => [id, index]));
  const newIdOf = (ids: unknown): unknown => (typeof ids === "number" ? (newIds.get(ids) ?? ids) : ids);
  const trimmed = mapConfig(config, (key, value) => {
    if (key === "vocab_size") return typeof value === "number" && sizes.includes(value) ? kept.length : value;
    if (!idKey.test(key)) return value;
    if (!Array.isArray(value)) return newIdOf(value);
    if (/suppress/.test(key)) return value.filter((id) => newIds.has(Number(id))).map(newIdOf);
    if (key === "bad_words_ids")
      return value
        .filter((ids) => Array.isArray(ids) && ids.every((id) => newIds.has(id)))
        .map((ids: unknown[]) => ids.map(newIdOf));
    return value.map((id) => (Array.isArray(id) ? [...id.slice(0, -1), newIdOf(id.at(-1))] : newIdOf(id)));
  });
  return isObject(trimmed) ? trimmed : config;
}

/** Maps the values of nested objects by key. In tables of ids, such as "lang_to_id", all values are mapped as ids. */
function mapConfig(config: unknown, change: (key: string, value: unknown) => unknown): unknown {
  if (!isObject(config)) return config;
  const entries = Object.entries(config).map(([key, value]) => {
    if (!isObject(value)) return [key, change(key, value)];
    const ids = /_to_id$/.test(key);
    return [key, mapConfig(value, ids ? (_, id) => change("token_id", id) : change)];
  });
  return Object.fromEntries(entries);
}

/** Returns the tokens of a vocabulary by id. In a list, the index is the id. @throws PithError E_UNSUPPORTED for unsupported kinds of tokenizers. */
function tokensOf(model: unknown): ReadonlyMap<number, string> {
  const kinds = ["WordPiece", "BPE", "Unigram", "WordLevel"];
  const vocab = isObject(model) ? model.vocab : undefined;
  const kind = isObject(model) ? (model.type ?? (model.merges === undefined ? undefined : "BPE")) : undefined;
  if (typeof kind !== "string" || !kinds.includes(kind))
    throw new PithError("E_UNSUPPORTED", `A tokenizer of the kind ${JSON.stringify(kind)} cannot be made smaller.`, {
      hint: `Those of ${kinds.join(", ")} can.`,
    });
  if (Array.isArray(vocab))
    return new Map(vocab.map((entry: unknown, id) => [id, String(Array.isArray(entry) ? entry[0] : entry)]));
  return new Map(Object.entries(isObject(vocab) ? vocab : {}).map(([token, id]) => [Number(id), token]));
}

function addedIds(addedTokens: unknown): readonly number[] {
  if (Array.isArray(addedTokens)) return addedTokens.flatMap((token) => (isObject(token) ? [Number(token.id)] : []));
  return isObject(addedTokens) ? Object.keys(addedTokens).map(Number) : [];
}

/** Returns whether a token is a single character or byte, apart from affixes that mark word parts. */
function isSingle(token: string, affixes: readonly string[]): boolean {
  if (/^<0x[0-9A-Fa-f]{2}>$/.test(token)) return true;
  const withoutAffixes = affixes.reduce(
    (text, affix) =>
      text.startsWith(affix) && text !== affix
        ? text.slice(affix.length)
        : text.endsWith(affix) && text !== affix
          ? text.slice(0, -affix.length)
          : text,
    token,
  );
  return [...withoutAffixes].length === 1;
}

/** Returns the id of the piece with the lowest score, as an array; empty for an empty vocabulary. */
function lowestPiece(vocab: unknown): readonly number[] {
  if (!Array.isArray(vocab) || vocab.length === 0) return [];
  const scores = vocab.map((piece: unknown) => (Array.isArray(piece) ? Number(piece[1]) : 0));
  return [scores.reduce((lowest, score, id) => (score < (scores[lowest] ?? 0) ? id : lowest), 0)];
}

type Pair = readonly [string, string];

const mergeKey = ([a, b]: Pair): string => `${a} ${b}`;

/** Returns a merge as a pair. Files store it as two texts, or as one text with a space. */
function pairOf(merge: unknown): Pair | undefined {
  const [a, b] = Array.isArray(merge) ? merge : typeof merge === "string" ? merge.split(" ") : [];
  return typeof a === "string" && typeof b === "string" ? [a, b] : undefined;
}

const ranksOf = new WeakMap<object, ReadonlyMap<string, number>>();

/** Returns the merges that build a token from single characters, in the order in which they apply. */
function mergesOf(model: PlainObject, token: string | undefined): readonly Pair[] {
  const { merges, end_of_word_suffix: suffix } = model;
  if (!Array.isArray(merges) || token === undefined) return [];
  let ranks = ranksOf.get(merges);
  if (ranks === undefined) {
    ranks = new Map(
      merges.flatMap((merge: unknown, rank) => {
        const pair = pairOf(merge);
        return pair === undefined ? [] : [[mergeKey(pair), rank] as const];
      }),
    );
    ranksOf.set(merges, ranks);
  }
  const hasSuffix = typeof suffix === "string" && suffix !== "" && token.endsWith(suffix);
  let parts = [...(hasSuffix ? token.slice(0, -suffix.length) : token)];
  if (hasSuffix) parts = [...parts.slice(0, -1), `${parts.at(-1) ?? ""}${suffix}`];
  const result: Pair[] = [];
  for (;;) {
    let best: { readonly pair: Pair; readonly rank: number } | undefined;
    for (let index = 0; index + 1 < parts.length; index++) {
      const pair: Pair = [parts[index] ?? "", parts[index + 1] ?? ""];
      const rank = ranks.get(mergeKey(pair));
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { pair, rank };
    }
    if (best === undefined) return result;
    const {
      pair: [a, b],
    } = best;
    result.push([a, b]);
    const next: string[] = [];
    for (let index = 0; index < parts.length; index++) {
      const isPair = parts[index] === a && parts[index + 1] === b;
      next.push(isPair ? a + b : (parts[index] ?? ""));
      if (isPair) index++;
    }
    parts = next;
  }
}

/** Maps the token ids in a post-processor: those in pairs such as ["</s>", 2] under `sep` and `cls`, and those in the `ids` of a template. */
function mapIds(processor: unknown, change: (id: number) => number): unknown {
  if (Array.isArray(processor)) {
    const [token, id] = processor;
    if (processor.length === 2 && typeof token === "string" && typeof id === "number") return [token, change(id)];
    return processor.map((part) => mapIds(part, change));
  }
  if (!isObject(processor)) return processor;
  const entries = Object.entries(processor).map(([key, value]) => [
    key,
    key === "ids" && Array.isArray(value) ? value.map((id) => change(Number(id))) : mapIds(value, change),
  ]);
  return Object.fromEntries(entries);
}
