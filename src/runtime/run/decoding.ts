/** Feeds tokens to a language model step by step. If the model has a cache, each step gets the outputs of the step before. */
import { allLayers, infer } from "#analysis";
import { attentionMask, findStates, type State } from "#batches";
import { type Batch, type Dense, fromNumbers, type Model, toNumbers, unsupportedError } from "#ir";
import { emptyCache, isLanguageModel, tokenInput } from "../../data/text/token-inputs.ts";

export type TokenRows = readonly (readonly number[])[];

/** A model that scores the next token at each position. */
export interface Decoder {
  /** Name of the input of token ids. */
  readonly tokens: string | undefined;
  readonly logits: string;
  /** Outputs that are fed as inputs at the next step. */
  readonly caches: readonly State[];
}

/** Returns how a language model is fed, by its inputs and outputs. */
export function decoderOf(model: Model): Decoder | undefined {
  const { feeds, outputs } = model.graph;
  const caches = cachesOf(model);
  const target = tokenInput(feeds.filter(({ name }) => !attentionMask.test(name)));
  const vocabularySize = vocabularyOf(model);
  // Without tokens, several caches are required: a single one can be a sequence and its features.
  const isDecoder =
    target === undefined
      ? caches.length > 1
      : caches.length > 0 || isLanguageModel(feeds, outputs, vocabularySize, undefined);
  if (!isDecoder) return undefined;
  const otherOutputs = outputs.filter(({ name }) => !caches.some(({ output }) => output === name));
  const logits =
    otherOutputs.find(({ name }) => name === "logits") ?? otherOutputs.find(({ type }) => type?.dims?.length === 3);
  return logits && { tokens: target?.name, logits: logits.name, caches };
}

/** Returns the rows of the largest table, the vocabulary of a language model. */
function vocabularyOf(model: Model): number | undefined {
  const tables = allLayers(model, infer(model)).filter(({ role }) => role.kind === "lookup");
  return tables.length === 0 ? undefined : Math.max(...tables.map(({ inputs }) => inputs));
}

/** A cache has an axis of unknown size in addition to the first one, and an output for the next step. */
function cachesOf({ graph, header }: Model): readonly State[] {
  const pastNames = new Set(
    graph.feeds.flatMap(({ name, type }) => {
      const [, ...sizes] = type?.dims ?? [];
      const isFloat = type?.type === "float32" || type?.type === "float16";
      return isFloat && sizes.length > 1 && sizes.some((dim) => typeof dim !== "number") ? [name] : [];
    }),
  );
  const otherInputs = graph.feeds.flatMap(({ name }) => (pastNames.has(name) ? [] : [name]));
  return findStates({ graph, header }, otherInputs).filter(
    ({ input, output }) => pastNames.has(input) && input !== output,
  );
}

/** Makes the inputs of each step for a batch of sequences. Call `carry` with the outputs of each step before the next one. */
export class Decoding {
  readonly #model: Model;
  readonly #caches: readonly State[];
  #states: Batch = {};
  #ids: TokenRows = [];
  #mask: TokenRows = [];
  #steps = 0;

  constructor(model: Model) {
    this.#model = model;
    this.#caches = decoderOf(model)?.caches ?? [];
  }

  /**
   * Returns the inputs of the next step. Without a cache, these include the tokens before.
   * @param mask 1 for tokens and 0 for padding (default: no padding). @param tensors values of inputs that tokens do not provide.
   * @throws PithError E_UNSUPPORTED for an input without a value.
   */
  next(ids: TokenRows, mask: TokenRows = ids.map((row) => row.map(() => 1)), tensors: Batch = {}): Batch {
    if (this.#steps === 0) this.#states = emptyCaches(this.#model, this.#caches, ids.length);
    const append = (rows: TokenRows, all: TokenRows) => rows.map((row, sample) => [...(all[sample] ?? []), ...row]);
    this.#mask = append(mask, this.#mask);
    this.#ids = this.#caches.length === 0 ? append(ids, this.#ids) : ids;
    const hasCache = fromNumbers("bool", [1], [this.#steps > 0 ? 1 : 0]);
    const inputs = { use_cache_branch: hasCache, ...this.#states, ...tensors };
    return tokenFeeds(this.#model, this.#ids, this.#mask, inputs);
  }

  /** Keeps the cache. Merged decoders return the encoder's part only once, so it does not change after the first step. */
  carry(outputs: Batch): void {
    this.#states = nextCaches(this.#caches, this.#states, outputs, this.#steps++ === 0);
  }
}

/** Returns whether a cache is the encoder's part of an encoder-decoder. */
export const isOfEncoder = ({ input }: State): boolean => /\bencoder\b/.test(input);

export const nextCaches = (caches: readonly State[], before: Batch, outputs: Batch, isFirst: boolean): Batch =>
  Object.fromEntries(
    caches.flatMap((cache) => {
      const { input, output } = cache;
      const dense = isFirst || !isOfEncoder(cache) ? (outputs[output] ?? before[input]) : before[input];
      return dense === undefined ? [] : [[input, dense] as const];
    }),
  );

/** Returns the inputs that tokens provide; `mask` ends with the entries of `ids`. @throws PithError E_UNSUPPORTED for another input. */
export function tokenFeeds(
  { graph }: Model,
  ids: TokenRows,
  mask: TokenRows,
  tensors: Batch = {},
  isPartial = false,
): Batch {
  const target = tokenInput(graph.feeds.filter(({ name }) => !attentionMask.test(name)));
  const width = ids[0]?.length ?? 0;
  const positions = mask.map((row) => positionsOf(row).slice(-width));
  const feeds: Record<string, Dense> = {};
  for (const feed of graph.feeds) {
    const { name, type } = feed;
    const tensor = tensors[name];
    const rows = attentionMask.test(name)
      ? mask
      : /position_?ids/i.test(name)
        ? positions
        : /token_?type|segment_?ids/i.test(name)
          ? ids.map((row) => row.map(() => 0))
          : feed === target
            ? ids
            : undefined;
    if (tensor !== undefined) feeds[name] = tensor;
    else if (rows !== undefined)
      feeds[name] = fromNumbers(
        type?.type === "int32" ? "int32" : "int64",
        [rows.length, rows[0]?.length ?? 0],
        rows.flat(),
      );
    else if (!isPartial) throw unsupportedError(`A text or sound gives no value for the input "${name}".`);
  }
  return feeds;
}

export function tokenRows(dense: Dense | undefined): TokenRows {
  const [count = 0, length = 0] = dense?.dims ?? [];
  const ids = dense === undefined ? [] : [...toNumbers(dense)];
  return Array.from({ length: count }, (_, row) => ids.slice(row * length, (row + 1) * length));
}

/** Returns the position of each token, counted from the first token that is not padding. */
function positionsOf(mask: readonly number[]): readonly number[] {
  let count = 0;
  return mask.map((isToken) => {
    count += isToken;
    return Math.max(0, count - 1);
  });
}

function emptyCaches({ graph }: Model, caches: readonly State[], count: number): Batch {
  const pasts = graph.feeds.filter(({ name }) => caches.some(({ input }) => input === name));
  return Object.fromEntries(pasts.map((past) => [past.name, emptyCache(past, count)]));
}

export function lastScores(logits: Dense): readonly Dense[] {
  const [count = 0, positions = 0, width = 0] = logits.dims;
  return Array.from({ length: count }, (_, sample) => {
    const end = (sample + 1) * positions * width;
    return { ...logits, dims: [width], data: logits.data.slice(end - width, end) } as Dense;
  });
}
