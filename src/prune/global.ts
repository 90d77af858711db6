/** Pruning several parameters together: one ranking over all their entries. */
import * as v from "valibot";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { described, option } from "../passes/options.ts";
import { definePass, type Outcome, type Pass } from "../passes/pass.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { amountSchema, countOf } from "./amount.ts";
import { cutOf, type MaskWriter, putMasks, type ScorerFactory } from "./chosen.ts";
import { byMagnitude } from "./importance.ts";
import { readRanked } from "./ranked.ts";
import { atRandom, denseSchema, seedSchema } from "./rules.ts";
import { cutSmallest, type RankedEntries } from "./smallest.ts";
import { type ParameterSelection, selectParameters, type Target, targetEntries } from "./targets.ts";

const schema = v.strictObject({
  ...targetEntries,
  /** Of all entries that are left in the selected parameters. */
  amount: amountSchema,
  method: described(
    v.optional(
      v.picklist(["l1", "random"], 'is "l1" or "random": only single entries can be ranked across layers'),
      "l1",
    ),
    "by magnitude, or at random",
  ),
  /** By layer name; layers without are ranked by their weights. */
  importanceScores: option(
    v.record(v.string(), denseSchema, "takes tensors by layer name"),
    "importance scores, used instead of the magnitudes, by layer name",
  ),
  seed: seedSchema,
});
export type GlobalOptions = v.InferInput<typeof schema> & ParameterSelection;

/**
 * Prunes the entries of least magnitude over all selected parameters together: the same amount in total, more where weights are small.
 * A layer may lose all of its weights.
 *
 * Semantics of PyTorch's `prune.global_unstructured`.
 * @throws PithError E_NAME for an unknown layer, E_OPTION for an amount that does not fit, E_SHAPE_MISMATCH for scores of other dimensions.
 * @example
 * await globalUnstructured(net, { layers: ["conv1", "conv2", "fc*"], amount: 0.8 });
 */
export const globalUnstructured: Pass<v.GenericSchema<GlobalOptions>> = definePass({
  id: "global-unstructured",
  summary: "Mask the entries with the smallest magnitudes over all layers",
  options: schema,
  run: (model, { method, importanceScores, ...options }, context) =>
    method === "random"
      ? pruneLeastTogether(model, options, putMasks, atRandom(model, options, context))
      : pruneLeastTogether(model, { ...options, importanceScores }, putMasks),
});

/** The same, with what becomes of the masks. */
export async function pruneLeastTogether(
  model: Model,
  options: Omit<v.InferOutput<typeof schema>, "method">,
  writeMasks: MaskWriter,
  scorerFor?: ScorerFactory,
): Promise<Outcome> {
  const { amount, importanceScores } = options;
  storeWeights(model);
  const selected = await selectParameters(model, options);
  const scorer = (await scorerFor?.(selected.targets.map(({ layer }) => layer))) ?? byMagnitude;
  const misses = [...selected.misses];
  const targets: Target[] = [];
  const ranked: RankedEntries[] = [];
  const kept: number[] = [];
  for (const target of selected.targets) {
    const read = await readRanked(target, importanceScores, scorer);
    if (read instanceof Miss) misses.push(read);
    else {
      targets.push(target);
      ranked.push(read.ranked);
      kept.push(read.before);
    }
  }
  const left = kept.reduce((sum, own) => sum + own, 0);
  const count = countOf(amount, left);
  const chosen = await Promise.all(
    (await cutSmallest(ranked, count)).map((cut, index) => {
      const [target, part] = [targets[index], ranked[index]];
      if (target === undefined || part === undefined) throw new Error("internal: a cut of nothing");
      return cutOf(target, part, kept[index] ?? 0, cut);
    }),
  );
  return { changes: await writeMasks(model, chosen), misses };
}
