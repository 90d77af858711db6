/**
 * Continues texts as transformers.js does: greedy decoding with a cache.
 *
 *     ids ──(embed_tokens)──▶ decoder ──▶ logits ──▶ token with the largest logit at the last position
 *     text ──(encoder_model)──▶   ▲ past_key_values.* ◀── present.*
 */
import type { Engine, Session } from "../../core/engine/index.ts";
import { PithError, throwIfAborted } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { fromNumbers, toFloat64 } from "../../core/tensor/convert.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";

export interface Generator {
  readonly decoder: Model;
  readonly encoder: Model | undefined;
  readonly embed: Model | undefined;
}

/** Returns the models of a folder that generate texts together, by file name; undefined if no model is a decoder with a cache. */
export function generatorOf(models: ReadonlyMap<string, Model>): Generator | undefined {
  const decoder = models.get("decoder_model_merged") ?? models.get("model");
  if (decoder?.graph.feeds.some(({ name }) => isPast(name)) !== true) return undefined;
  return { decoder, encoder: models.get("encoder_model"), embed: models.get("embed_tokens") };
}

const isPast = (name: string): boolean => name.startsWith("past_");
const presentOf = (past: string): string => past.replace(/^past_key_values/, "present").replace(/^past_/, "present_");

export interface GenerateOptions {
  readonly steps: number;
  readonly padding: number;
  /** First token of a decoder that follows an encoder. */
  readonly startToken: number;
  /** For each prompt, tokens that are fed instead of the generated ones (teacher forcing). */
  readonly forced?: readonly (readonly number[])[];
  readonly signal?: AbortSignal | undefined;
}

type Rows = readonly (readonly number[])[];

/**
 * Returns the most likely token after each prompt and after each further token: one row of `steps` tokens per prompt.
 * @throws PithError E_UNSUPPORTED for a model with an input that no text provides, E_STOPPED on the signal.
 */
export async function generate(
  engine: Engine,
  models: Generator,
  prompts: Rows,
  { steps, padding, startToken, forced, signal }: GenerateOptions,
): Promise<number[][]> {
  const { decoder } = models;
  const sessions: Session[] = [];
  const load = async (model: Model): Promise<Session> => {
    const session = await engine.load(model);
    sessions.push(session);
    return session;
  };
  try {
    const session = await load(decoder);
    const embed = models.embed === undefined ? undefined : await load(models.embed);
    const maxLength = Math.max(...prompts.map(({ length }) => length));
    const padLeft = (row: readonly number[], fill: number) => [
      ...Array<number>(maxLength - row.length).fill(fill),
      ...row,
    ];
    let ids: Rows = prompts.map((row) => padLeft(row, padding));
    let mask: Rows = prompts.map((row) =>
      padLeft(
        row.map(() => 1),
        0,
      ),
    );
    const encoderOutputs: Record<string, Dense> = {};
    if (models.encoder !== undefined) {
      const encoderFeeds = feedsOf(models.encoder, { input_ids: ids, attention_mask: mask });
      const [hidden] = Object.values(await (await load(models.encoder)).run(encoderFeeds));
      if (hidden !== undefined) encoderOutputs.encoder_hidden_states = hidden;
      Object.assign(encoderOutputs, feedsOf(decoder, { encoder_attention_mask: mask }, true));
      ids = prompts.map(() => [startToken]);
      mask = prompts.map(() => [1]);
    }
    let states: Record<string, Dense> = zeroStates(decoder, prompts.length);
    const generated: number[][] = prompts.map(() => []);
    for (let step = 0; step < steps; step++) {
      throwIfAborted(signal, "Stopped on request.");
      const width = ids[0]?.length ?? 0;
      const positions = mask.map((row) => positionsOf(row).slice(-width));
      const rows = { input_ids: ids, attention_mask: mask, position_ids: positions };
      const embeddings =
        embed === undefined || models.embed === undefined
          ? undefined
          : await embed.run(feedsOf(models.embed, rows, true));
      const [inputs] = Object.values(embeddings ?? {});
      const cacheBranch = { use_cache_branch: fromNumbers("bool", [1], [step > 0 ? 1 : 0]) };
      const decoderInputs: Batch = {
        ...encoderOutputs,
        ...states,
        ...cacheBranch,
        ...(inputs === undefined ? {} : { inputs_embeds: inputs }),
      };
      const outputs = await session.run(feedsOf(decoder, rows, false, decoderInputs));
      const nextTokens = largestOf(outputs.logits ?? Object.values(outputs)[0]);
      for (const [sample, token] of nextTokens.entries()) generated[sample]?.push(token);
      states = nextStates(states, outputs, step);
      ids = nextTokens.map((token, sample) => [forced?.[sample]?.[step] ?? token]);
      mask = mask.map((row) => [...row, 1]);
    }
    return generated;
  } finally {
    for (const session of sessions) await session.release();
  }
}

/** Returns the position of each token, counted from the first token that is not padding. */
function positionsOf(mask: readonly number[]): readonly number[] {
  let count = 0;
  return mask.map((isToken) => {
    count += isToken;
    return Math.max(0, count - 1);
  });
}

function feedsOf(model: Model, rows: Readonly<Record<string, Rows>>, isPartial = false, tensors: Batch = {}): Batch {
  const feeds: Record<string, Dense> = {};
  for (const { name, type } of model.graph.feeds) {
    const inputRows = rows[name];
    const other = tensors[name];
    if (other !== undefined) feeds[name] = other;
    else if (inputRows !== undefined)
      feeds[name] = fromNumbers(
        type?.type === "int32" ? "int32" : "int64",
        [inputRows.length, inputRows[0]?.length ?? 0],
        inputRows.flat(),
      );
    else if (!isPartial) throw new PithError("E_UNSUPPORTED", `A text gives no value for the input "${name}".`);
  }
  return feeds;
}

/** Returns the cache before the first token. Symbolic axes have size 0, except the batch axis. */
function zeroStates(decoder: Model, count: number): Record<string, Dense> {
  const states: Record<string, Dense> = {};
  for (const { name, type } of decoder.graph.feeds) {
    if (!isPast(name)) continue;
    const dims = (type?.dims ?? []).map((dim, axis) => (axis === 0 ? count : typeof dim === "number" ? dim : 0));
    const length = dims.reduce((product, dim) => product * dim, 1);
    const kind = type?.type === "float16" ? "float16" : "float32";
    states[name] = fromNumbers(kind, dims, new Array<number>(length).fill(0));
  }
  return states;
}

/** Returns the updated cache. After the first step, the encoder's part does not change, because merged decoders return it only once. */
function nextStates(states: Record<string, Dense>, outputs: Batch, step: number): Record<string, Dense> {
  return Object.fromEntries(
    Object.entries(states).map(([name, before]) => {
      const after = outputs[presentOf(name)];
      return [name, after === undefined || (step > 0 && name.includes(".encoder.")) ? before : after];
    }),
  );
}

function largestOf(logits: Dense | undefined): readonly number[] {
  const [count = 0, positions = 0, width = 0] = logits?.dims ?? [];
  const numbers = logits === undefined ? new Float64Array() : toFloat64(logits);
  return Array.from({ length: count }, (_, sample) => {
    const start = ((sample + 1) * positions - 1) * width;
    let best = 0;
    for (let index = 1; index < width; index++)
      if ((numbers[start + index] ?? 0) > (numbers[start + best] ?? 0)) best = index;
    return best;
  });
}
