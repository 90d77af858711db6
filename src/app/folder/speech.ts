/** Transcribes sounds with the models of a folder as transformers.js does, and compares the transcripts of two sets of models. */
import type { Batch, Model, PlainObject } from "#ir";
import { allowance, capitalize, counted, dataError, integer, isObject, Miss, uncapitalize } from "#ir";
import { joinPath } from "#platform";
import type { Engine } from "../../core/engine/index.ts";
import { wilson, z95 } from "../../core/math/confidence-interval.ts";
import { type FeatureExtractor, isSoundInput, openFeatureExtractor } from "../../data/sound/features.ts";
import { speechNoise } from "../../data/sound/speech-noise.ts";
import { readUtterances, type Utterance } from "../../data/sources/utterances.ts";
import { openTokenizer, readSettings, type TextTokenizer } from "../../data/text/tokenizer.ts";
import { compareRows } from "../../judge/compare/compare.ts";
import { defaultDrop, isWithin, judge } from "../../judge/compare/goal.ts";
import { roundUp } from "../../judge/record/sample-advice.ts";
import { lossText } from "../../judge/record/verdict.ts";
import { transcriptColumn, wordErrorRate } from "../../runtime/metrics/word-errors.ts";
import type { TokenRows } from "../../runtime/run/decoding.ts";
import { type GeneratorModels, generate, type SpeechPrompt, withLoadedOnce } from "../../runtime/run/generate.ts";
import { countSameTokens, type EndToEnd, generatedTokens, similarityFrom } from "./end-to-end.ts";

export interface SpeechModel {
  readonly extractor: FeatureExtractor;
  /** Name of the encoder's input. */
  readonly input: string;
  readonly prompt: Omit<SpeechPrompt, "inputs">;
  readonly maxTokens: number;
  readonly tokenizer: TextTokenizer;
}

const noiseName = "noise";
/** Maximum number of utterances by default, and of tokens of a transcript: half of Whisper's context. */
const [maxUtterances, maxTranscript] = [64, 224];

/** Opens a folder whose encoder reads sound. Returns a Miss if a file is missing or describes unsupported features. */
export async function openSpeech(folder: string, encoder: Model | undefined): Promise<SpeechModel | Miss | undefined> {
  const input = encoder?.graph.feeds.find(({ name }) => isSoundInput(name))?.name;
  if (input === undefined) return undefined;
  const extractor = await openFeatureExtractor(folder);
  if (extractor instanceof Miss) return extractor;
  const tokenizer = await openTokenizer(folder);
  if (extractor === undefined) return new Miss("preprocessor_config.json is missing or states no sampling_rate");
  if (tokenizer === undefined) return new Miss("tokenizer.json is missing");
  const settings = {
    ...(await readSettings(joinPath(folder, "config.json"))),
    ...(await readSettings(joinPath(folder, "generation_config.json"))),
  };
  const prompt = promptOf(settings);
  const { max_length: maxLength } = settings;
  const maxTokens = Math.min(
    maxTranscript,
    typeof maxLength === "number" ? maxLength - prompt.start.length : maxTranscript,
  );
  return { extractor, input, prompt, maxTokens, tokenizer };
}

const tokensIn = (value: unknown): readonly number[] =>
  [value].flat().filter((token): token is number => Number.isSafeInteger(token) && Number(token) >= 0);

/** Returns the tokens that begin and end a transcript, with a language as in transformers.js. */
function promptOf(settings: PlainObject): Omit<SpeechPrompt, "inputs"> {
  const {
    decoder_start_token_id,
    forced_decoder_ids,
    is_multilingual,
    language = "en",
    lang_to_id,
    task_to_id,
  } = settings;
  const forcedIds = [forced_decoder_ids].flat().flatMap((pair) => (Array.isArray(pair) ? tokensIn(pair[1]) : []));
  const idIn = (ids: unknown, key: string): readonly number[] => (isObject(ids) ? tokensIn(ids[key]) : []);
  const chosenIds =
    is_multilingual === true ? [...idIn(lang_to_id, `<|${language}|>`), ...idIn(task_to_id, "transcribe")] : forcedIds;
  const plain = tokensIn(settings.no_timestamps_token_id).filter((token) => !chosenIds.includes(token));
  return {
    start: [...tokensIn(decoder_start_token_id), ...chosenIds, ...plain],
    end: tokensIn(settings.eos_token_id)[0],
    suppressed: tokensIn(settings.suppress_tokens),
    suppressedFirst: tokensIn(settings.begin_suppress_tokens),
  };
}

export interface SoundRequest {
  readonly path: string;
  readonly samples?: number | undefined;
}

/** Returns the user's utterances, or noise without data. @throws PithError E_DATA if the path has no WAV files. */
export async function openUtterances(
  { extractor: { rate, maxSeconds } }: SpeechModel,
  data: SoundRequest | undefined,
  seed: number,
): Promise<readonly Utterance[]> {
  if (data === undefined)
    return [0, 1].map((index) => ({
      name: noiseName,
      samples: speechNoise(rate, seed + index),
      transcript: undefined,
    }));
  const utterances = await readUtterances(data.path, { rate, maxSeconds, count: data.samples ?? maxUtterances });
  if (utterances.length > 0) return utterances;
  throw dataError(`"${data.path}" has no WAV files, and the model reads speech.`, {
    hint: "Convert other formats: ffmpeg -i sound.mp3 -ar 16000 -ac 1 sound.wav",
  });
}

/** Transcribes sounds one by one. @param forced tokens that are fed instead of the generated ones (teacher forcing). */
export async function transcribe(
  engine: Engine,
  models: GeneratorModels,
  { extractor, input, prompt, maxTokens, tokenizer }: SpeechModel,
  sounds: readonly Float32Array[],
  {
    forced,
    signal,
  }: { readonly forced?: readonly (readonly number[])[]; readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly (readonly number[])[]> {
  const soundFeatures = await extractor.extract(engine, sounds);
  return withLoadedOnce(engine, async (loadedEngine) => {
    const transcripts: number[][] = [];
    for (const [index, features] of soundFeatures.entries()) {
      const forcedTokens = forced?.[index];
      const options = {
        padding: tokenizer.padding,
        startToken: 0,
        signal,
        speech: { ...prompt, inputs: { [input]: features } },
        ...(forcedTokens === undefined ? { steps: maxTokens } : { steps: forcedTokens.length, forced: [forcedTokens] }),
      };
      transcripts.push(...(await generate(loadedEngine, models, [[]], options)));
    }
    return transcripts;
  });
}

export interface SpeechOptions {
  readonly utterances: readonly Utterance[];
  readonly goal: {
    readonly maxDrop: number | undefined;
    readonly strict: boolean;
    /** Whether only a significant loss rejects a file. */
    readonly isTentative?: boolean;
  };
  /** Transcripts of the original as tokens. */
  readonly expected?: TokenRows | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Compares two sets of models by the word error rate on utterances, or by tokens on noise. */
export async function compareSpeech(
  engine: Engine,
  original: GeneratorModels,
  result: GeneratorModels,
  speech: SpeechModel,
  { utterances, goal, expected, signal }: SpeechOptions,
): Promise<{ readonly endToEnd: EndToEnd; readonly expected: TokenRows }> {
  const sounds = utterances.map(({ samples }) => samples);
  if (utterances.every(({ name }) => name === noiseName)) {
    // A transcript of noise would end after few tokens.
    const { end, suppressed } = speech.prompt;
    const prompt = { ...speech.prompt, end: undefined, suppressed: [...suppressed, ...tokensIn(end)] };
    const endless = { ...speech, prompt, maxTokens: generatedTokens };
    const before = expected ?? (await transcribe(engine, original, endless, sounds, { signal }));
    const after = await transcribe(engine, result, endless, sounds, { forced: before, signal });
    return { endToEnd: countSameTokens(before, after), expected: before };
  }
  const before = expected ?? (await transcribe(engine, original, speech, sounds, { signal }));
  const after = await transcribe(engine, result, speech, sounds, { signal });
  const textsOf = (tokens: TokenRows): Batch => textBatch(tokens.map((ids) => speech.tokenizer.decode?.(ids) ?? ""));
  const [first, second] = [textsOf(before), textsOf(after)];
  const labels = utterances.flatMap(({ transcript }) => transcript ?? []);
  const metric = wordErrorRate(labels.length > 0 ? "labels" : "original");
  const truth = labels.length > 0 ? textBatch(labels) : first;
  const [firstRows, secondRows] = [metric.rows(first, truth), metric.rows(second, truth)];
  const comparison = compareRows(metric, firstRows, secondRows);
  const judgedGoal = { maxDrop: goal.maxDrop ?? defaultDrop(metric, comparison.original.value), strict: goal.strict };
  const verdict = judge(comparison, judgedGoal);
  const words = firstRows.reduce((sum, value, index) => sum + (index % 2) * value, 0);
  const isStated = goal.maxDrop !== undefined;
  const isTooFew = words < neededWords(judgedGoal.maxDrop);
  // The estimate decides if few utterances have no interval.
  const needsEstimate = !Number.isFinite(verdict.drop.high) || (goal.isTentative !== true && (isStated || isTooFew));
  const isMet = verdict.met && (!needsEstimate || isWithin(verdict.drop, judgedGoal));
  const nearness = similarityFrom(comparison);
  const answers = nearness && { ...nearness, samples: words };
  if (!isMet) {
    const neededNote = isStated || !isTooFew ? "" : ` ${neededText(words, judgedGoal.maxDrop)}`;
    const lost = `${capitalize(lossText(comparison, verdict, judgedGoal))}.${neededNote}`;
    return { endToEnd: { answers, lost }, expected: before };
  }
  const undecided = verdict.verdict === "kept" ? {} : { undecided: undecidedText(words, judgedGoal.maxDrop) };
  return { endToEnd: { answers, ...undecided }, expected: before };
}

/** Returns the number of words that would show the goal if none of them changed (Wilson's interval). */
const neededWords = (maxDrop: number): number => z95 ** 2 * (1 / maxDrop - 1);

const neededText = (words: number, maxDrop: number): string =>
  `To show a loss of at most ${allowance("share", maxDrop)} takes at least ${integer(roundUp(neededWords(maxDrop)))} words, and there are ${integer(words)}.`;

function undecidedText(words: number, maxDrop: number): string {
  const neededCount = neededWords(maxDrop);
  if (words >= neededCount || !Number.isFinite(neededCount))
    return `Undecided: ${counted(words, "word")} do not exclude a loss of more than ${allowance("share", maxDrop)}, see the intervals.`;
  const reached = allowance("share", wilson(0, Math.max(1, words)).high);
  return `Undecided: ${uncapitalize(neededText(words, maxDrop))} Even if none of them changes, the interval reaches ${reached}.`;
}

const textBatch = (texts: readonly string[]): Batch => ({
  [transcriptColumn]: { type: "string", dims: [texts.length], data: [...texts] },
});
