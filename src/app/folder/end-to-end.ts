/** Compares models of a folder end to end with their originals, on texts that they continue or on samples. */
import * as v from "valibot";
import { counted, Miss, type Model, open, percent } from "#ir";
import type { Context } from "#pass";
import { joinPath } from "#platform";
import type { Engine } from "../../core/engine/index.ts";
import { wilson } from "../../core/math/confidence-interval.ts";
import type { Dataset } from "../../data/index.ts";
import { openTokenizer, readSettings, type TextTokenizer } from "../../data/text/tokenizer.ts";
import { type BatchInvariance, measureInvariance } from "../../judge/compare/batch-dependence.ts";
import { compare } from "../../judge/compare/compare.ts";
import type { Comparison } from "../../judge/compare/goal.ts";
import { minEqualCosine } from "../../judge/compare/same-outputs.ts";
import { findLayerToBlame } from "../../judge/fallback/layer-table.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { blameText } from "../../runtime/noise/layer-errors.ts";
import type { TokenRows } from "../../runtime/run/decoding.ts";
import {
  type GenerateOptions,
  type GeneratorModels,
  generate,
  generatorOf,
  withLoadedOnce,
} from "../../runtime/run/generate.ts";

/** Schema of a similarity: a metric value, and on samples its difference from the original's value. */
export const similaritySchema = v.object({
  metric: v.string(),
  unit: v.picklist(["share", "dB", "nats", ""]),
  value: v.number(),
  samples: v.optional(v.number()),
  difference: v.optional(v.number()),
  low: v.optional(v.number()),
  high: v.optional(v.number()),
  confidence: v.optional(v.number()),
});

export type Similarity = v.InferOutput<typeof similaritySchema>;

/** Returns the similarity of a comparison; undefined for a value that is not finite, which a record cannot contain. */
export function similarityFrom({ metric, unit, candidate, difference }: Comparison): Similarity | undefined {
  const { value: change, low, high, count: samples, confidence } = difference;
  if (!Number.isFinite(candidate.value) || !Number.isFinite(change)) return undefined;
  const interval = Number.isFinite(low) && Number.isFinite(high) ? { low, high, confidence } : {};
  return { metric, unit, value: candidate.value, samples, difference: change, ...interval };
}

export const endToEndSchema = v.object({
  answers: v.optional(similaritySchema),
  /** Number of generated tokens, each predicted after the original's tokens (teacher forcing). */
  tokens: v.optional(v.number()),
  /** Number of these tokens that equal the original's. */
  same: v.optional(v.number()),
  /** Sentence about a goal that the transcripts neither show nor exclude. */
  undecided: v.optional(v.string()),
  /** Sentence about a goal that the transcripts miss. */
  lost: v.optional(v.string()),
  /** Share of tokens that are the same alone and in a padded batch, or the lowest cosine of other outputs. */
  batch: v.optional(v.number()),
  /** Largest relative difference between an output alone and in a batch. */
  batchApart: v.optional(v.number()),
  /** Number of compared samples. */
  batchSamples: v.optional(v.number()),
  /** Sentence about the decoder layer with the largest error. */
  blamed: v.optional(v.string()),
});

export type EndToEnd = v.InferOutput<typeof endToEndSchema>;

export interface EndToEndOptions {
  readonly tokenizer: TextTokenizer | undefined;
  readonly texts: readonly string[];
  /** First token of a decoder that follows an encoder (`decoder_start_token_id`). */
  readonly startToken?: number | undefined;
  readonly samples: Dataset | undefined;
  readonly metric?: Metric | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const maxTexts = 8;
const maxTokens = 48;
export const generatedTokens = 24;

/** Compares models end to end. Keys of the maps are file names without ".onnx". */
export async function compareEndToEnd(
  engine: Engine,
  originals: ReadonlyMap<string, Model>,
  results: ReadonlyMap<string, Model>,
  { tokenizer, texts, startToken = 0, samples, metric, signal }: EndToEndOptions,
): Promise<EndToEnd> {
  const [original, result] = [generatorOf(originals), generatorOf(results)];
  if (original === undefined || result === undefined) {
    const [first, second] = [originals.get("model"), results.get("model")];
    if (first === undefined || second === undefined || samples === undefined) return {};
    const signalOption = signal === undefined ? {} : { signal };
    const invariance = await measureInvariance(engine, second, samples, signalOption);
    const batch = invariance instanceof Miss ? {} : batchFigures(invariance);
    if (metric === undefined) return batch;
    const comparison = await compare(engine, first, second, samples, metric, { batch: 1, ...signalOption });
    return { answers: similarityFrom(comparison), ...batch };
  }
  if (tokenizer === undefined || texts.length === 0) return {};
  const prompts = promptsOf(tokenizer, texts);
  const options = { steps: generatedTokens, padding: tokenizer.padding, startToken, signal };
  const originalTokens = await continueEach(engine, original, prompts, options);
  const singleTokens = await continueEach(engine, result, prompts, { ...options, forced: originalTokens });
  const batchTokens = await generate(engine, result, prompts, { ...options, forced: originalTokens });
  const { tokens, same } = countSameTokens(originalTokens, singleTokens);
  const equality = { tokens, same, batch: countSameTokens(singleTokens, batchTokens).same / tokens };
  if (endToEndLoss(equality) === undefined) return equality;
  const limits = { signal, evaluated: prompts.length };
  const blame = await findLayerToBlame(engine, original.decoder, result.decoder, undefined, limits);
  return { ...equality, ...(blame === undefined ? {} : { blamed: blameText(blame) }) };
}

export const batchFigures = ({ worst, apart, samples }: BatchInvariance) => ({
  batch: worst,
  batchApart: apart,
  batchSamples: samples,
});

/** Counts the expected tokens, and those that are the same at their position. */
export function countSameTokens(
  expected: TokenRows,
  actual: TokenRows,
): { readonly tokens: number; readonly same: number } {
  const isSame = expected.flatMap((row, sample) => row.map((token, step) => actual[sample]?.[step] === token));
  return { tokens: isSame.length, same: isSame.filter(Boolean).length };
}

export const promptsOf = (
  tokenizer: TextTokenizer,
  texts: readonly string[],
  count = maxTexts,
): readonly (readonly number[])[] =>
  texts.slice(0, count).map((text) => tokenizer.encode(text, undefined, maxTokens).ids);

export async function continueEach(
  engine: Engine,
  models: GeneratorModels,
  prompts: readonly (readonly number[])[],
  { forced, ...options }: GenerateOptions,
): Promise<number[][]> {
  return withLoadedOnce(engine, async (loadedEngine) => {
    const tokens: number[][] = [];
    for (const [index, prompt] of prompts.entries()) {
      const forcedTokens = forced?.[index];
      const forcedOption = forcedTokens && { forced: [forcedTokens] };
      tokens.push(...(await generate(loadedEngine, models, [prompt], { ...options, ...forcedOption })));
    }
    return tokens;
  });
}

/** Returns the reason to reject a variant by its transcripts or tokens. */
export function endToEndLoss({ tokens = 0, same = 0, blamed, lost }: EndToEnd): string | undefined {
  if (lost !== undefined) return lost;
  if (tokens === 0 || wilson(same, tokens).high >= 0.5) return undefined;
  const blamedText = blamed === undefined ? "" : ` ${blamed}.`;
  return `Only ${same} of ${tokens} generated tokens equal the original's.${blamedText}`;
}

export function tokenSimilarity({ tokens = 0, same = 0 }: EndToEnd = {}): Similarity | undefined {
  if (tokens === 0) return undefined;
  const { value, low, high, confidence } = wilson(same, tokens);
  const interval = { difference: value - 1, low: low - 1, high: high - 1, confidence };
  return { metric: "equal tokens", unit: "share", value, samples: tokens, ...interval };
}

/** Explains `batchText`. @param counts such as "64 samples". */
export const batchNote = (counts: string): string =>
  `Same in a batch: whether samples have the same outputs alone and in a padded batch (${counts}). Apart: the largest relative difference (root mean square). Metrics of files that differ are measured one sample at a time.`;

/** Returns texts such as "yes", "nearly (5.4 % apart)" or "no (98.9 % of tokens)". */
export function batchText({ batch, batchApart = 0, tokens }: EndToEnd = {}): string {
  if (batch === undefined) return "";
  const isSame = batch >= minEqualCosine;
  if (isSame && batchApart === 0) return "yes";
  const detail = tokens === undefined ? `${percent(batchApart)} apart` : `${percent(batch)} of tokens`;
  return `${isSame ? "nearly" : "no"} (${detail})`;
}

/** Returns what was compared, such as "64 samples"; undefined if nothing was. */
export const batchCountText = ({ batch, tokens, batchSamples = 0 }: EndToEnd = {}): string | undefined =>
  batch === undefined ? undefined : tokens === undefined ? counted(batchSamples, "sample") : counted(tokens, "token");

/** Paths of a module. `result` is the original if there is no variant. */
export interface ModulePaths {
  readonly base: string;
  readonly original: string;
  readonly result: string;
}

/** Compares a variant of the models with the originals, on texts that they continue or on samples. */
export async function compareModules(
  folder: string,
  modules: readonly ModulePaths[],
  texts: readonly string[],
  { engine, signal }: Context,
  evaluation: { readonly samples?: Dataset | undefined; readonly metric?: Metric | undefined } = {},
): Promise<EndToEnd> {
  const { originals, results, ...textOptions } = await openFolderModels(folder, modules);
  const { samples, metric } = evaluation;
  return compareEndToEnd(engine, originals, results, { ...textOptions, texts, samples, metric, signal });
}

export async function openFolderModels(folder: string, modules: readonly ModulePaths[]) {
  const openAll = async (side: "original" | "result"): Promise<ReadonlyMap<string, Model>> =>
    new Map(await Promise.all(modules.map(async (module) => [module.base, await open(module[side])] as const)));
  const startToken = (await readSettings(joinPath(folder, "config.json")))?.decoder_start_token_id;
  return {
    originals: await openAll("original"),
    results: await openAll("result"),
    tokenizer: await openTokenizer(folder),
    startToken: typeof startToken === "number" ? startToken : undefined,
  };
}
