/** Samples of text that a language model generates itself: realistic inputs for a model without data. */

import { attentionMask, firstBatch, type IndexedDataset, memory, sampleCount, sliceBatch } from "#batches";
import {
  asPithError,
  type Batch,
  bytesOfText,
  fromNumbers,
  Miss,
  type Model,
  type Random,
  random,
  storedBytes,
  stripPeriod,
  throwIfAborted,
  toFloat64,
  zeros,
} from "#ir";
import type { Context } from "#pass";
import { fileKind, folderOf, joinPath, readText, writeFileAtomically } from "#platform";
import type { Engine } from "../../core/engine/index.ts";
import { readSidecars } from "../../data/sidecars/sidecars.ts";
import { type RenderTemplate, renderChats } from "../../data/text/chat-template.ts";
import { sentences } from "../../data/text/sentences.ts";
import { tokenize } from "../../data/text/sequences.ts";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { type Decoder, decoderOf, type TokenRows, tokenFeeds } from "./decoding.ts";
import { generate, withLoadedOnce } from "./generate.ts";
import { createRunner } from "./runner.ts";
import { hasLargeWeights } from "./size-limits.ts";

export interface OwnTextOptions {
  readonly seed?: number | undefined;
  /** Maximum number of sequences. */
  readonly count?: number | undefined;
  /** File that keeps the tokens for further commands. */
  readonly file?: string | undefined;
  /** Renders the chat template next to the model, so that some sequences begin with a turn of a chat. */
  readonly renderTemplate?: RenderTemplate | undefined;
  /** Reports why the text has no chats, or why a tokenizer does not help. */
  readonly log?: Context["log"] | undefined;
  /** For a decoder: the outputs of its encoder, by the names of the inputs of the decoder. */
  readonly encoded?: Batch | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** Numbers of sequences and of their tokens, in the order in which they are tried. */
const sizes = [
  [16, 64],
  [8, 64],
  [8, 32],
  [4, 32],
  [4, 16],
  [4, 8],
] as const;
const maxWork = 2e11;

/**
 * Returns sequences of tokens that a language model samples at temperature 1. The same seed gives the same tokens.
 * @returns the inputs of the model, with the next token of each as the label; a Miss if the model does not generate text alone.
 * @throws PithError E_STOPPED on the signal, E_ENGINE_MISSING.
 * @example
 * const text = await generateOwnText(createEngine(), model);
 * if (!(text instanceof Miss)) await quantize(model, { bits: 4, rounder: "gptq", data: text });
 */
export async function generateOwnText(
  engine: Engine,
  model: Model,
  options: OwnTextOptions = {},
): Promise<IndexedDataset | Miss> {
  const ownTokens = await generateOwnTokens(engine, model, options);
  if (ownTokens instanceof Miss) return ownTokens;
  const { rows, hasChats } = ownTokens;
  const tokens = fromNumbers("int64", [rows.length, rows[0]?.length ?? 0], rows.flat());
  const name = `${hasChats ? "chats and " : ""}text that the model generated`;
  const encodedRows = options.encoded && sliceBatch(options.encoded, 0, rows.length);
  const text = { ...memory(name, { ...encodedRows, tokens }), synthetic: name };
  return tokenize(text, model.graph.feeds, { language: true });
}

/** Returns texts that a language model generates itself, or sentences. @param isTimed one text of a length for timing. */
export async function createOwnInputs(
  engine: Engine,
  model: Model,
  options: OwnTextOptions,
  isTimed = false,
): Promise<{ readonly samples: IndexedDataset; readonly isGenerated: boolean } | undefined> {
  if (tokenInput(model.graph.feeds) === undefined) return undefined;
  const text = await generateOwnText(engine, model, options);
  const samples = text instanceof Miss ? await createSentenceInputs(engine, model, options, isTimed) : text;
  return samples && { samples, isGenerated: samples === text };
}

/** Maximum number of tokens of the text for timing. */
const timedLength = 128;

/** Returns sentences as inputs of a model; undefined if the tokenizer next to it is not usable. */
function createSentenceInputs(
  engine: Engine,
  model: Model,
  { log }: OwnTextOptions,
  isJoined: boolean,
): Promise<IndexedDataset | undefined> {
  return tryRealisticInputs(log, async () => {
    const { tokenizer } = model.place === undefined ? {} : await readSidecars(model.place);
    if (tokenizer === undefined) return undefined;
    const { feeds } = model.graph;
    const data = isJoined ? [sentences.join(" ")] : [...sentences];
    const text = { type: "string", dims: [data.length], data } as const;
    const name = "sentences that Pith ships";
    const texts = { ...memory(name, { text }), synthetic: name };
    const isFixed = typeof tokenInput(feeds)?.type?.dims?.[1] === "number";
    const length = isJoined && !isFixed ? Math.min(timedLength, tokenizer.longest ?? timedLength) : undefined;
    const samples = tokenize(texts, feeds, { tokenizer, length });
    await requireRuns(engine, model, samples, data.length);
    return samples;
  });
}

/** @throws PithError if the model does not run on the samples. */
export async function requireRuns(engine: Engine, model: Model, samples: IndexedDataset, count: number): Promise<void> {
  const runner = await createRunner(engine, model, samples.name);
  await runner.run(await firstBatch(samples, count)).finally(() => runner.release());
}

/** Makes realistic inputs. Logs the reason if the work throws a PithError. */
export const tryRealisticInputs = <T>(log: OwnTextOptions["log"], work: () => Promise<T>): Promise<T | undefined> =>
  work().catch((error: unknown) => {
    const text = `random inputs are used: ${stripPeriod(asPithError(error).message)}`;
    log?.({ id: "own-text", text, level: "warning" });
    return undefined;
  });

interface OwnTokens {
  readonly rows: TokenRows;
  readonly hasChats: boolean;
}

async function generateOwnTokens(
  engine: Engine,
  model: Model,
  { file, ...options }: OwnTextOptions = {},
): Promise<OwnTokens | Miss> {
  const isKept = file !== undefined && (await fileKind(file)) === "file";
  if (isKept) return JSON.parse(await readText(file));
  const ownTokens = await withLoadedOnce(engine, (sharing) => generateRows(sharing, model, options));
  if (!(ownTokens instanceof Miss) && file !== undefined)
    await writeFileAtomically(file, [bytesOfText(JSON.stringify(ownTokens))]);
  return ownTokens;
}

async function generateRows(engine: Engine, model: Model, options: OwnTextOptions): Promise<OwnTokens | Miss> {
  const { seed = 0, encoded, signal } = options;
  const decoder = decoderOf(model);
  if (decoder?.tokens === undefined) return new Miss("the model does not predict the next token");
  const { feeds } = model.graph;
  const fixedLength = feeds.find(({ name }) => name === decoder.tokens)?.type?.dims?.[1];
  if (typeof fixedLength === "number") return new Miss(`the model takes sequences of ${fixedLength} tokens only`);
  const providedFeeds = tokenFeeds(model, [], [], { ...encoded, use_cache_branch: zeros("bool", [1]) }, true);
  const other = feeds.find(
    ({ name }) => providedFeeds[name] === undefined && !decoder.caches.some(({ input }) => input === name),
  );
  if (other !== undefined) return new Miss(`the model does not generate text alone: it has an input "${other.name}"`);
  const { count: maxCount = Number.POSITIVE_INFINITY } = options;
  const maxSequences = encoded === undefined ? maxCount : Math.min(maxCount, sampleCount(encoded, "text"));
  const weights = storedBytes(model.graph) / 4;
  const affordable = sizes.filter(
    ([count, length]) => weights * count * (decoder.caches.length > 0 ? length : length ** 2 / 2) <= maxWork,
  );
  let reason = "";
  for (const [count, length] of affordable.length === 0 ? sizes.slice(-1) : affordable) {
    const size = [Math.min(count, maxSequences), length] as const;
    const draws = random(seed, "own text");
    const { starts, hasChats } = await drawStarts(model, decoder, size, draws, options);
    try {
      const rows = await continueStarts(engine, model, decoder, starts, length, draws, options);
      return rows instanceof Miss ? rows : { rows, hasChats };
    } catch (error) {
      throwIfAborted(signal);
      const engineError = asPithError(error);
      if (engineError.code === "E_ENGINE_MISSING") throw error;
      // A shorter text can fit a model with fewer positions.
      reason = stripPeriod(engineError.message);
      if (engineError.code !== "E_ENGINE") break;
    }
  }
  return new Miss(`the model generates no text: ${reason}`);
}

/** Returns the first tokens of each sequence: the start token, or a turn of a chat. */
async function drawStarts(
  model: Model,
  { logits }: Decoder,
  [count, length]: readonly [count: number, length: number],
  draws: Random,
  { renderTemplate, log }: OwnTextOptions,
): Promise<{ readonly starts: TokenRows; readonly hasChats: boolean }> {
  const { place, graph } = model;
  const vocabulary = vocabularyOf(model, logits);
  // Shorter prompts are padded, which a mask hides.
  const hasMask = graph.feeds.some(({ name }) => attentionMask.test(name));
  const chats =
    hasMask && renderTemplate !== undefined && place !== undefined
      ? await renderChats(place, renderTemplate, sentences.slice(0, count / 2))
      : [];
  if (chats instanceof Miss)
    log?.({ id: "chats", text: `the generated text has no chats: ${chats.reason}`, level: "warning" });
  const fitting = (chats instanceof Miss ? [] : chats).filter(
    (chat) => chat.length <= (length * 3) / 4 && chat.every((token) => token < vocabulary),
  );
  const start = await startToken(place);
  const starts = Array.from(
    { length: count },
    (_, index) => (index % 2 === 1 ? fitting[(index - 1) / 2] : undefined) ?? [start ?? draws.integer(vocabulary)],
  );
  return { starts, hasChats: fitting.length > 0 };
}

/** Returns the sequences that the model continues to a length. @returns a Miss if it reads later tokens. */
async function continueStarts(
  engine: Engine,
  model: Model,
  { tokens, logits, caches }: Decoder,
  starts: TokenRows,
  length: number,
  draws: Random,
  { encoded, signal, progress }: OwnTextOptions,
): Promise<TokenRows | Miss> {
  const [batch] = model.graph.feeds.find(({ name }) => name === tokens)?.type?.dims ?? [];
  const perRun = typeof batch === "number" ? batch : starts.length;
  const vocabulary = vocabularyOf(model, logits);
  const anyTokens = Array.from({ length: perRun }, () => Array.from({ length: 8 }, () => draws.integer(vocabulary)));
  if (caches.length === 0 && !(await isCausal(engine, model, logits, anyTokens)))
    return new Miss("the model does not generate text: its scores depend on later tokens");
  const generator = { decoder: model, encoder: undefined, embed: undefined };
  const rows: (readonly number[])[] = [];
  while (rows.length < starts.length) {
    const prompts = starts.slice(rows.length, rows.length + perRun);
    const options = {
      steps: length - 1,
      padding: 0,
      startToken: 0,
      draws,
      signal,
      progress,
      encoded: encoded && sliceBatch(encoded, rows.length, prompts.length),
    };
    const continuations = await generate(engine, generator, prompts, options);
    const extendedRows = prompts.map((prompt, sample) => [...prompt, ...(continuations[sample] ?? [])]);
    rows.push(...extendedRows.map((row) => row.slice(0, length)));
  }
  return rows;
}

/** Returns the token with which a text starts, as files next to the model or in the folder above state it. */
async function startToken(place: string | undefined): Promise<number | undefined> {
  if (place === undefined) return undefined;
  for (const folder of [folderOf(place), joinPath(folderOf(place), "..")])
    for (const name of ["generation_config.json", "config.json"]) {
      const { decoder_start_token_id, bos_token_id } = (await readSettings(joinPath(folder, name))) ?? {};
      const token = decoder_start_token_id ?? bos_token_id;
      if (typeof token === "number") return token;
    }
  return undefined;
}

function vocabularyOf({ graph }: Model, logits: string): number {
  const width = graph.outputs.find(({ name }) => name === logits)?.type?.dims?.at(-1);
  return typeof width === "number" ? width : 1;
}

/** Returns whether the scores at the first position are the same without later tokens, unlike in a masked language model. */
async function isCausal(engine: Engine, model: Model, logits: string, rows: TokenRows): Promise<boolean> {
  const session = await engine.load(model, { lean: hasLargeWeights(model) });
  try {
    const [first, all] = await Promise.all(
      [1, rows[0]?.length ?? 1].map(async (length) => {
        const ids = rows.map((row) => row.slice(0, length));
        const scores = (
          await session.run(
            tokenFeeds(
              model,
              ids,
              ids.map((row) => row.map(() => 1)),
            ),
            [logits],
          )
        )[logits];
        return scores === undefined ? new Float64Array() : toFloat64(scores).subarray(0, scores.dims[2]);
      }),
    );
    const sumOfSquares = (values: Float64Array = new Float64Array()) =>
      values.reduce((sum, value) => sum + value ** 2, 0);
    const differences = first?.map((value, index) => value - (all?.[index] ?? 0));
    return sumOfSquares(differences) <= maxDifference ** 2 * sumOfSquares(first);
  } finally {
    await session.release();
  }
}

/** Maximum relative difference of scores with and without later tokens, which the runtime rounds differently. */
const maxDifference = 0.01;
