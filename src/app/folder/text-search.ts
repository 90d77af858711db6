/** Evaluates attempts of the precision fallback if a folder loses tokens end to end. The texts are not those that evaluate the result. */
import { wilson } from "../../core/math/interval.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { SparingJudge, SparingVerdict } from "../../judge/run/sparing.ts";
import { continueEach, generatedTokens, type ModulePaths, maxTexts, openTogether, promptsOf } from "./end-to-end.ts";
import { generatorOf } from "./generate.ts";

/** Models of a folder with which a file must pass jointly. */
export interface Together {
  readonly folder: string;
  readonly base: string;
  readonly modules: readonly ModulePaths[];
  /** Texts that evaluate the result, followed by others. */
  readonly texts: readonly string[];
}

/** The search uses these texts if the user provides none beyond the first `maxTexts`, which evaluate the result. */
export const defaultTexts = [
  "The quick brown fox jumps over the lazy dog.",
  "What a wonderful film, I would see it again!",
  "In the beginning",
];

export function textsForSearch(texts: readonly string[]): readonly string[] {
  const otherTexts = texts.slice(maxTexts);
  return otherTexts.length > 0 ? otherTexts : defaultTexts;
}

const order: readonly SparingVerdict["holds"][] = ["no", "barely", "clearly"];

/** Returns a judge that compares generated tokens. @param alone judge of the module alone, which must pass too. */
export async function searchTogether(
  { folder, base, modules, texts }: Together,
  alone: SparingJudge,
  { engine, signal }: Context,
): Promise<SparingJudge> {
  const { originals, results, tokenizer, begin = 0 } = await openTogether(folder, modules);
  const original = generatorOf(originals);
  if (original === undefined || tokenizer === undefined) return alone;
  const prompts = promptsOf(tokenizer, textsForSearch(texts));
  const options = { steps: generatedTokens, padding: tokenizer.padding, begin, signal };
  const forced = await continueEach(engine, original, prompts, options);
  const expectedTokens = forced.flat();
  return {
    samples: alone.samples,
    async measure(model) {
      const result = generatorOf(new Map([...results, [base, model]]));
      if (result === undefined) return alone.measure(model);
      const generated = await continueEach(engine, result, prompts, { ...options, forced });
      const [tokens, same] = [
        expectedTokens.length,
        generated.flat().filter((token, index) => token === expectedTokens[index]).length,
      ];
      const verdict = wilson(same, tokens).low >= 0.5 ? "clearly" : 2 * same >= tokens ? "barely" : "no";
      const text = `${same} of ${tokens} tokens equal the original's`;
      if (verdict === "no") return { holds: verdict, text };
      const verdictAlone = await alone.measure(model);
      return order.indexOf(verdictAlone.holds) < order.indexOf(verdict) ? verdictAlone : { holds: verdict, text };
    },
  };
}
