/** Evaluates attempts of the precision fallback by tokens or transcripts, if a folder fails end to end. */
import { Miss, stripPeriod, uncapitalize } from "#ir";
import type { Context } from "#pass";
import { wilson } from "../../core/math/confidence-interval.ts";
import { sentences } from "../../data/text/sentences.ts";
import type { FallbackJudge, FallbackVerdict } from "../../judge/fallback/precision-fallback.ts";
import { generatorOf } from "../../runtime/run/generate.ts";
import {
  continueEach,
  countSameTokens,
  endToEndLoss,
  generatedTokens,
  type ModulePaths,
  maxTexts,
  openFolderModels,
  promptsOf,
} from "./end-to-end.ts";
import { compareSpeech, openSpeech, openUtterances, type SoundRequest, type SpeechOptions } from "./speech.ts";

/** Models of a folder with which a file must pass jointly. */
export interface JointCheck {
  readonly folder: string;
  readonly base: string;
  readonly modules: readonly ModulePaths[];
  /** Texts that evaluate the result, followed by others. */
  readonly texts: readonly string[];
  /** Sounds and goal of a speech model, which is evaluated by its transcripts. */
  readonly speech?: {
    readonly data: SoundRequest | undefined;
    readonly goal: SpeechOptions["goal"];
    readonly seed: number;
  };
}

/** Texts for the fallback if the user provides few, because those evaluate the result. */
export const defaultTexts = sentences.slice(0, 3);

export function textsForFallback(texts: readonly string[]): readonly string[] {
  const otherTexts = texts.slice(maxTexts);
  return otherTexts.length > 0 ? otherTexts : defaultTexts;
}

const verdictOrder: readonly FallbackVerdict["met"][] = ["no", "barely", "clearly"];

/** Returns a judge that compares tokens, or transcripts. @param judgeAlone judge of the module alone. */
export async function createJointJudge(
  { folder, base, modules, texts, speech: request }: JointCheck,
  judgeAlone: FallbackJudge,
  { engine, signal }: Context,
): Promise<FallbackJudge> {
  const { originals, results, tokenizer, startToken = 0 } = await openFolderModels(folder, modules);
  const original = generatorOf(originals);
  const speech = request && (await openSpeech(folder, original?.encoder));
  if (original !== undefined && request !== undefined && speech !== undefined && !(speech instanceof Miss)) {
    const utterances = await openUtterances(speech, request.data, request.seed);
    let expected: SpeechOptions["expected"];
    return {
      samples: judgeAlone.samples,
      async measure(model) {
        const result = generatorOf(new Map([...results, [base, model]])) ?? original;
        const options = { utterances, goal: request.goal, expected, signal };
        const speechComparison = await compareSpeech(engine, original, result, speech, options);
        expected = speechComparison.expected;
        const lostText = endToEndLoss(speechComparison.endToEnd);
        return {
          met: lostText === undefined ? "clearly" : "no",
          text: uncapitalize(stripPeriod(lostText ?? "the goal is met")),
        };
      },
    };
  }
  if (original === undefined || tokenizer === undefined) return judgeAlone;
  const prompts = promptsOf(tokenizer, textsForFallback(texts));
  const options = { steps: generatedTokens, padding: tokenizer.padding, startToken, signal };
  const forced = await continueEach(engine, original, prompts, options);
  return {
    samples: judgeAlone.samples,
    async measure(model) {
      const result = generatorOf(new Map([...results, [base, model]]));
      if (result === undefined) return judgeAlone.measure(model);
      const generatedRows = await continueEach(engine, result, prompts, { ...options, forced });
      const { tokens, same } = countSameTokens(forced, generatedRows);
      const verdict = wilson(same, tokens).low >= 0.5 ? "clearly" : 2 * same >= tokens ? "barely" : "no";
      const text = `${same} of ${tokens} tokens equal the original's`;
      if (verdict === "no") return { met: verdict, text };
      const verdictAlone = await judgeAlone.measure(model);
      return verdictOrder.indexOf(verdictAlone.met) < verdictOrder.indexOf(verdict)
        ? verdictAlone
        : { met: verdict, text };
    },
  };
}
