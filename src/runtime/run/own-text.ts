/** Samples of text that a language model generates itself: realistic inputs for a model without data. */

import {
  asPithError,
  type Batch,
  bytesOfText,
  fromNumbers,
  Miss,
  type Model,
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
import { memory } from "../../data/batches/indexed.ts";
import { attentionMask, sampleCount, sliceBatch } from "../../data/batches/rows.ts";
import { firstBatch } from "../../data/batches/select.ts";
import type { IndexedDataset } from "../../data/batches/types.ts";
import { readSidecars } from "../../data/sidecars/sidecars.ts";
import { type RenderTemplate, renderChats } from "../../data/text/chat-template.ts";
import { sentences } from "../../data/text/sentences.ts";
import { tokenize } from "../../data/text/sequences.ts";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { decoderOf, type TokenRows, tokenFeeds } from "./decoding.ts";
import { generate, withLoadedOnce } from "./generate.ts";
import { hasLargeWeights } from "./large-weights.ts";
import { createRunner } from "./run.ts";

export interface OwnTextOptions {
  readonly seed?: number | undefined;
  /** Maximum number of sequences (16). */
  readonly count?: number | undefined;
  /** File that keeps the tokens for further commands on the same model with the same seed. */
  readonly file?: string | undefined;
  /** Renders the chat template next to the model. With it, every second sequence begins with a turn of a chat. */
  readonly renderTemplate?: RenderTemplate | undefined;
  /** Reports why the text has no chats although there is a template. */
  readonly log?: Context["log"] | undefined;
  /** Outputs of the encoder before the model, as its inputs. Each sequence has one of their samples. */
  readonly encoded?: Batch | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** Numbers of sequences and of their tokens: the first pair that a model can generate within `maxWork` multiply-accumulates. */
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
 * Returns sequences of tokens that a language model samples at temperature 1, after the start token of its configuration, or after random tokens
 * without one. The same seed gives the same tokens.
 * @returns the inputs of the model, with the next token of each as the label; a Miss if the model does not generate text alone.
 * @throws PithError E_STOPPED on the signal, E_ENGINE_MISSING.
 * @example
 * const text = await ownText(createEngine(), model);
 * if (!(text instanceof Miss)) await quantize(model, { bits: 4, rounder: "gptq", data: text });
 */
export async function ownText(
  engine: Engine,
  model: Model,
  options: OwnTextOptions = {},
): Promise<IndexedDataset | Miss> {
  const generated = await ownTokens(engine, model, options);
  if (generated instanceof Miss) return generated;
  const { rows, hasChats } = generated;
  const tokens = fromNumbers("int64", [rows.length, rows[0]?.length ?? 0], rows.flat());
  const name = `${hasChats ? "chats and " : ""}text that the model generated`;
  const encoded = options.encoded && sliceBatch(options.encoded, 0, rows.length);
  const text = { ...memory(name, { ...encoded, tokens }), isSynthetic: true };
  return tokenize(text, model.graph.feeds, { language: true });
}

/** Returns texts for a model: those that a language model generates itself, or sentences. @returns undefined for models of other inputs. */
export async function ownInputs(
  engine: Engine,
  model: Model,
  options: OwnTextOptions,
): Promise<{ readonly samples: IndexedDataset; readonly isGenerated: boolean } | undefined> {
  if (tokenInput(model.graph.feeds) === undefined) return undefined;
  const text = await ownText(engine, model, options);
  const samples = text instanceof Miss ? await shippedSentences(engine, model, options.count === 1) : text;
  return samples && { samples, isGenerated: samples === text };
}

/** Maximum number of tokens of the single text for timing, unless the model has a fixed number. */
const timedLength = 128;

/**
 * Returns sentences as inputs of a model; undefined if there is no usable tokenizer next to it, or it does not run on them.
 * @param isJoined whether they are one text of a length for timing.
 */
function shippedSentences(engine: Engine, model: Model, isJoined: boolean): Promise<IndexedDataset | undefined> {
  return orUndefined(async () => {
    const { tokenizer } = model.place === undefined ? {} : await readSidecars(model.place);
    if (tokenizer === undefined) return undefined;
    const { feeds } = model.graph;
    const data = isJoined ? [sentences.join(" ")] : [...sentences];
    const text = { type: "string", dims: [data.length], data } as const;
    const texts = { ...memory("sentences that Pith ships", { text }), isSynthetic: true };
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

/** @returns undefined if the work throws a PithError. */
export const orUndefined = <T>(work: () => Promise<T>): Promise<T | undefined> =>
  work().catch((error: unknown) => {
    asPithError(error);
    return undefined;
  });

export interface OwnTokens {
  readonly rows: TokenRows;
  readonly hasChats: boolean;
}

/** Returns the tokens of the text. @returns a Miss and @throws as `ownText`. */
export async function ownTokens(
  engine: Engine,
  model: Model,
  { file, ...options }: OwnTextOptions = {},
): Promise<OwnTokens | Miss> {
  const isKept = file !== undefined && (await fileKind(file)) === "file";
  if (isKept) return JSON.parse(await readText(file));
  const generated = await withLoadedOnce(engine, (sharing) => generateRows(sharing, model, options));
  if (!(generated instanceof Miss) && file !== undefined)
    await writeFileAtomically(file, [bytesOfText(JSON.stringify(generated))]);
  return generated;
}

async function generateRows(
  engine: Engine,
  model: Model,
  {
    seed = 0,
    count: maxCount = Number.POSITIVE_INFINITY,
    renderTemplate,
    encoded,
    log,
    signal,
    progress,
  }: OwnTextOptions,
): Promise<OwnTokens | Miss> {
  const decoder = decoderOf(model);
  if (decoder?.tokens === undefined) return new Miss("the model does not predict the next token");
  const { feeds } = model.graph;
  const [batch, fixedLength] = feeds.find(({ name }) => name === decoder.tokens)?.type?.dims ?? [];
  if (typeof fixedLength === "number") return new Miss(`the model takes sequences of ${fixedLength} tokens only`);
  const provided = tokenFeeds(model, [], [], { ...encoded, use_cache_branch: zeros("bool", [1]) }, true);
  const other = feeds.find(
    ({ name }) => provided[name] === undefined && !decoder.caches.some(({ input }) => input === name),
  );
  if (other !== undefined) return new Miss(`the model does not generate text alone: it has an input "${other.name}"`);
  const start = await startToken(model.place);
  const weights = storedBytes(model.graph) / 4;
  const affordable = sizes.filter(
    ([count, length]) => weights * count * (decoder.caches.length > 0 ? length : length ** 2 / 2) <= maxWork,
  );
  let reason = "";
  for (const [maxSequences, length] of affordable.length === 0 ? sizes.slice(-1) : affordable) {
    const count = Math.min(maxSequences, maxCount, encoded === undefined ? maxSequences : sampleCount(encoded, "text"));
    const draws = random(seed, "own text");
    const vocabulary = vocabularyOf(model, decoder.logits);
    // Shorter prompts are padded, which a mask hides.
    const hasMask = feeds.some(({ name }) => attentionMask.test(name));
    const chats =
      hasMask && renderTemplate !== undefined && model.place !== undefined
        ? await renderChats(model.place, renderTemplate, sentences.slice(0, count / 2))
        : [];
    if (chats instanceof Miss)
      log?.({ id: "chats", text: `the generated text has no chats: ${chats.reason}`, level: "warning" });
    const fitting = (chats instanceof Miss ? [] : chats).filter(
      (chat) => chat.length <= (length * 3) / 4 && chat.every((token) => token < vocabulary),
    );
    const starts = Array.from(
      { length: count },
      (_, index) => (index % 2 === 1 ? fitting[(index - 1) / 2] : undefined) ?? [start ?? draws.integer(vocabulary)],
    );
    const perRun = typeof batch === "number" ? batch : count;
    const rows: number[][] = [];
    try {
      const anyTokens = Array.from({ length: perRun }, () =>
        Array.from({ length: 8 }, () => draws.integer(vocabulary)),
      );
      if (decoder.caches.length === 0 && !(await isCausal(engine, model, decoder.logits, anyTokens)))
        return new Miss("the model does not generate text: its scores depend on later tokens");
      while (rows.length < count) {
        const prompts = starts.slice(rows.length, rows.length + perRun);
        const options = {
          ...{ steps: length - 1, padding: 0, startToken: 0, draws, signal, progress },
          encoded: encoded && sliceBatch(encoded, rows.length, prompts.length),
        };
        const generated = await generate(
          engine,
          { decoder: model, encoder: undefined, embed: undefined },
          prompts,
          options,
        );
        const extended = prompts.map((prompt, sample) => [...prompt, ...(generated[sample] ?? [])]);
        rows.push(...extended.map((row) => row.slice(0, length)));
      }
      return { rows, hasChats: fitting.length > 0 };
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

/** Returns the token with which a text starts, as files next to the model state it. @throws PithError E_DATA for a file that is not JSON. */
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

/** Returns whether the scores at the first position are the same with and without later tokens. A masked language model reads them. */
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
