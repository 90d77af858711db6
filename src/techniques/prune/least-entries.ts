import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { cutSmallest } from "../../core/math/smallest.ts";
import type { Outcome } from "../../core/pass/pass.ts";
import { countOf } from "./amount.ts";
import type { AmountsFactory } from "./amounts.ts";
import { cutOf, type MaskOptions, prunePrepared, type ScorerFactory } from "./mask-choice.ts";
import { readRanked, type Tensors } from "./ranking.ts";

export function pruneLeast(
  model: Model,
  options: MaskOptions & { readonly importanceScores?: Tensors | undefined },
  amountsFor: AmountsFactory,
  scorerFor?: ScorerFactory,
): Promise<Outcome> {
  return prunePrepared(model, options, scorerFor, async (targets, scorer) => {
    const amountOf = await amountsFor(targets, scorer);
    return async (target) => {
      const { amount, decidedBy, empties, cut: known } = amountOf(target);
      if (known !== undefined && (empties || known.cut.gone < known.before))
        return { ...(await cutOf(target, known.ranked, known.before, known.cut)), decidedBy };
      const read = await readRanked(target, options.importanceScores, scorer);
      if (read instanceof Miss) return read;
      const { ranked, mask, scores, before } = read;
      // The values stay in memory for all readings; the mask itself is computed on the last one.
      const inHand = { ...ranked, mask: async () => mask, scores: async () => scores };
      try {
        const count = countOf(amount, before);
        if (count === 0 && decidedBy !== "global")
          return new Miss("its own amount in `overrides` removes nothing", target.layer.name);
        const spared = !empties && count > 0 && count === before;
        const [cut] = await cutSmallest([inHand], spared ? count - 1 : count);
        return { ...(await cutOf(target, ranked, before, cut)), decidedBy, spared };
      } catch (error) {
        if (!(error instanceof PithError)) throw error;
        const hint = `To prune the other layers, exclude this one: \`except: "${target.layer.name}"\`.`;
        throw error.reworded({ at: `Layer "${target.layer.name}"`, hint });
      }
    };
  });
}
