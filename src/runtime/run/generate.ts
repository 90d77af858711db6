/** Continues texts as transformers.js does, with a cache if the model has one. */

import { type Batch, type Dense, getOrAdd, type Model, type Random, throwIfAborted, toFloat64 } from "#ir";
import type { Engine, Session } from "../../core/engine/index.ts";
import { Decoding, decoderOf, lastScores, type TokenRows, tokenFeeds } from "./decoding.ts";
import { hasLargeWeights } from "./size-limits.ts";

export interface GeneratorModels {
  readonly decoder: Model;
  readonly encoder: Model | undefined;
  readonly embed: Model | undefined;
}

/** Returns the models of a folder that generate texts together, by file name. */
export function generatorOf(models: ReadonlyMap<string, Model>): GeneratorModels | undefined {
  const decoder = models.get("decoder_model_merged") ?? models.get("model");
  if (decoder === undefined || (decoderOf(decoder)?.caches.length ?? 0) === 0) return undefined;
  return { decoder, encoder: models.get("encoder_model"), embed: models.get("embed_tokens") };
}

export interface GenerateOptions {
  readonly steps: number;
  readonly padding: number;
  /** First token of a decoder that follows an encoder. */
  readonly startToken: number;
  /** Sound for the encoder, instead of the prompts, which are then empty. */
  readonly speech?: SpeechPrompt | undefined;
  /** Outputs of an encoder that ran before. The prompts are then tokens of the decoder. */
  readonly encoded?: Batch | undefined;
  /** For each prompt, tokens that are fed instead of the generated ones (teacher forcing). */
  readonly forced?: readonly (readonly number[])[];
  /** Draws each token by its probability (temperature 1), instead of the most likely one. */
  readonly draws?: Random | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

export interface SpeechPrompt {
  readonly inputs: Batch;
  /** First tokens of the decoder, for instance for language and task. */
  readonly start: readonly number[];
  /** Token that ends the transcript. */
  readonly end: number | undefined;
  /** Tokens that are not generated, and further ones that are not generated first. */
  readonly suppressed: readonly number[];
  readonly suppressedFirst: readonly number[];
}

/** Returns up to `steps` tokens after each prompt. @throws PithError E_UNSUPPORTED for a model with another input, E_STOPPED on the signal. */
export async function generate(
  engine: Engine,
  models: GeneratorModels,
  prompts: TokenRows,
  { steps, padding, startToken, speech, encoded, forced, draws, signal, progress }: GenerateOptions,
): Promise<number[][]> {
  const { decoder } = models;
  const logitsName = decoderOf(decoder)?.logits ?? "logits";
  const sessions: Session[] = [];
  const load = async (model: Model): Promise<Session> => {
    const session = await engine.load(model, { lean: hasLargeWeights(model) });
    sessions.push(session);
    return session;
  };
  try {
    const session = await load(decoder);
    const embed = models.embed && { model: models.embed, session: await load(models.embed) };
    const maxLength = Math.max(...prompts.map(({ length }) => length));
    const padLeft = (row: readonly number[], fill: number) => [
      ...Array<number>(maxLength - row.length).fill(fill),
      ...row,
    ];
    let ids: TokenRows = prompts.map((row) => padLeft(row, padding));
    let mask: TokenRows = prompts.map((row) =>
      padLeft(
        row.map(() => 1),
        0,
      ),
    );
    let encoderOutputs = encoded;
    if (models.encoder !== undefined) {
      const encoderFeeds = tokenFeeds(models.encoder, ids, mask, speech?.inputs);
      encoderOutputs = await encode(await load(models.encoder), encoderFeeds);
      const start = speech?.start ?? [startToken];
      ids = prompts.map(() => start);
      mask = prompts.map(() => start.map(() => 1));
    }
    const decoding = new Decoding(decoder);
    const generatedRows: number[][] = prompts.map(() => []);
    for (let step = 0; step < steps; step++) {
      throwIfAborted(signal, "Stopped on request.");
      const [inputs] = Object.values((await embed?.session.run(tokenFeeds(embed.model, ids, mask, {}, true))) ?? {});
      const feeds = decoding.next(ids, mask, {
        ...encoderOutputs,
        ...(inputs === undefined ? {} : { inputs_embeds: inputs }),
      });
      const outputs = await session.run(feeds);
      const logits = outputs[logitsName] ?? Object.values(outputs)[0];
      const suppressedTokens = [...(speech?.suppressed ?? []), ...((step === 0 && speech?.suppressedFirst) || [])];
      const scores = logits === undefined ? [] : lastScores(logits);
      const tokens = scores.map((lastScore) => nextToken(lastScore, suppressedTokens, draws));
      for (const [sample, token] of tokens.entries()) generatedRows[sample]?.push(token);
      if (forced === undefined && tokens.every((token) => token === speech?.end)) break;
      decoding.carry(outputs);
      ids = tokens.map((token, sample) => [forced?.[sample]?.[step] ?? token]);
      mask = ids.map(() => [1]);
      progress?.(step + 1, steps);
    }
    return generatedRows;
  } finally {
    for (const session of sessions) await session.release();
  }
}

/** Runs an encoder. @returns its output and its mask, by the names of the decoder's inputs. */
export async function encode(encoder: Session, feeds: Batch): Promise<Batch> {
  const [hidden] = Object.values(await encoder.run(feeds));
  const { attention_mask: mask } = feeds;
  return { ...(hidden && { encoder_hidden_states: hidden }), ...(mask && { encoder_attention_mask: mask }) };
}

/** Runs work with an engine that loads each model once. */
export async function withLoadedOnce<T>(engine: Engine, work: (engine: Engine) => Promise<T>): Promise<T> {
  const sessions = new Map<Model, Promise<Session>>();
  const load: Engine["load"] = async (model, options) => {
    const session = await getOrAdd(sessions, model, () => engine.load(model, options));
    return { run: (feeds, fetch) => session.run(feeds, fetch), release: () => Promise.resolve() };
  };
  try {
    return await work({ load });
  } finally {
    for (const session of await Promise.allSettled(sessions.values()))
      if (session.status === "fulfilled") await session.value.release();
  }
}

function nextToken(scores: Dense, suppressedTokens: readonly number[], draws: Random | undefined): number {
  const values = toFloat64(scores);
  for (const token of suppressedTokens) values[token] = Number.NEGATIVE_INFINITY;
  const best = values.reduce((position, value, index) => (value > (values[position] ?? 0) ? index : position), 0);
  if (draws === undefined) return best;
  const weights = values.map((value) => Math.exp(value - (values[best] ?? 0)));
  let rest = draws.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  const drawnToken = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  return drawnToken < 0 ? best : drawnToken;
}
