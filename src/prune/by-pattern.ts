/** Pruning by a pattern: layer after layer, from the scores of its entries as matrices. */
import { ownOptions } from "../analysis/selection.ts";
import { weightMatrices, weightNumbers, weightStorage } from "../analysis/weight.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { stored } from "../passes/fold-mask.ts";
import type { Outcome } from "../passes/pass.ts";
import { type MaskWriter, prunePrepared, type ScorerFactory } from "./chosen.ts";
import { intersect, keptCount } from "./mask.ts";
import type { Pattern } from "./pattern.ts";
import { brokenAt, rankedBy } from "./ranked.ts";
import type { ParameterSelection } from "./targets.ts";

export interface PatternOptions extends ParameterSelection {
  readonly pattern: Pattern;
  /** Share of what is left that goes. */
  readonly amount: number;
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
}

export function pruneByPattern(
  model: Model,
  options: PatternOptions,
  writeMasks: MaskWriter,
  scorerFor: ScorerFactory,
): Promise<Outcome> {
  const { pattern } = options;
  return prunePrepared(model, options, writeMasks, scorerFor, async (target, scorer) => {
    const { layer, parameter } = target;
    if (weightStorage(layer) !== "float")
      return new Miss("its weight is not stored as the layer reads it: it has no rows and columns", layer.name);
    const { own, decidedBy } = ownOptions(options, layer);
    const ranked = await rankedBy(target, undefined, scorer);
    if (ranked instanceof Miss) return ranked;
    const [scores, mask] = [await ranked.scores(), await ranked.mask()];
    const broken = ranked.held ? undefined : brokenAt(target, scores, mask);
    if (broken !== undefined) return broken;
    const { dims } = stored(parameter);
    const old = mask ?? new Uint8Array(scores.length).fill(1);
    const kept = weightMatrices(layer.role, dims, old).map(({ data }) => Uint8Array.from(data));
    const chosen = pattern.choose(weightMatrices(layer.role, dims, scores), kept, own.amount);
    const fits = chosen.length === kept.length && chosen.every((one, group) => one.length === kept[group]?.length);
    if (!fits || chosen.some((one) => one.some((entry) => entry > 1))) {
      const text = `The pattern "${pattern.id}" did not give a 0 or a 1 for each entry of layer "${layer.name}".`;
      throw new PithError("E_OPTION", text);
    }
    const matrices = chosen.map((data) => ({ data }));
    const left = intersect(old, Uint8Array.from(weightNumbers(layer.role, dims, matrices)));
    return { target, before: keptCount(old), after: keptCount(left), decidedBy, mask: async () => left };
  });
}
