/** Evaluates attempts of the precision fallback by generated tokens, on texts that do not evaluate the result. Used if a folder fails end to end. */
import { wilson } from "../../core/math/interval.ts";
import type { Context } from "../../core/pass/pass.ts";
import { sentences } from "../../data/text/sentences.ts";
import type { FallbackJudge, FallbackVerdict } from "../../judge/run/precision-fallback.ts";
import { generatorOf } from "../../runtime/run/generate.ts";
import { continueEach, generatedTokens, type ModulePaths, maxTexts, openTogether, promptsOf } from "./end-to-end.ts";

/** Models of a folder with which a file must pass jointly. */
export interface Together {
  readonly folder: string;
  readonly base: string;
  readonly modules: readonly ModulePaths[];
  /** Texts that evaluate the result, followed by others. */
  readonly texts: readonly string[];
}

/** Texts for the precision fallback. Used if the user provides at most `maxTexts` texts, because these evaluate the result. */
export const defaultTexts = sentences.slice(0, 3);

export function textsForSearch(texts: readonly string[]): readonly string[] {
  const otherTexts = texts.slice(maxTexts);
  return otherTexts.length > 0 ? otherTexts : defaultTexts;
}

const verdictOrder: readonly FallbackVerdict["holds"][] = ["no", "barely", "clearly"];

/** Returns a judge that compares generated tokens. @param judgeAlone judge of the module alone, which must accept the result as well. */
export async function searchTogether(
  { folder, base, modules, texts }: Together,
  judgeAlone: FallbackJudge,
  { engine, signal }: Context,
): Promise<FallbackJudge> {
  const { originals, results, tokenizer, startToken = 0 } = await openTogether(folder, modules);
  const original = generatorOf(originals);
  if (original === undefined || tokenizer === undefined) return judgeAlone;
  const prompts = promptsOf(tokenizer, textsForSearch(texts));
  const options = { steps: generatedTokens, padding: tokenizer.padding, startToken, signal };
  const forced = await continueEach(engine, original, prompts, options);
  const expectedTokens = forced.flat();
  return {
    samples: judgeAlone.samples,
    async measure(model) {
      const result = generatorOf(new Map([...results, [base, model]]));
      if (result === undefined) return judgeAlone.measure(model);
      const generated = await continueEach(engine, result, prompts, { ...options, forced });
      const [tokens, same] = [
        expectedTokens.length,
        generated.flat().filter((token, index) => token === expectedTokens[index]).length,
      ];
      const verdict = wilson(same, tokens).low >= 0.5 ? "clearly" : 2 * same >= tokens ? "barely" : "no";
      const text = `${same} of ${tokens} tokens equal the original's`;
      if (verdict === "no") return { holds: verdict, text };
      const verdictAlone = await judgeAlone.measure(model);
      return verdictOrder.indexOf(verdictAlone.holds) < verdictOrder.indexOf(verdict)
        ? verdictAlone
        : { holds: verdict, text };
    },
  };
}
