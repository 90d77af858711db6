/** Pruning several parameters together: one ranking over all their entries. */
import * as v from "valibot";
import { described, option } from "../passes/options.ts";
import { definePass, type Pass } from "../passes/pass.ts";
import { global } from "./allocations/index.ts";
import { amountSchema } from "./amount.ts";
import { allocated } from "./amounts.ts";
import { pruneLeast } from "./least-entries.ts";
import { putMasks } from "./mask-choice.ts";
import { atRandom, denseSchema, seedSchema } from "./rules.ts";
import { type ParameterSelection, targetEntries } from "./targets.ts";

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
  run(model, { method, amount, importanceScores, ...options }, context) {
    const given = method === "random" ? undefined : importanceScores;
    const amountsFor = allocated(model, { allocation: global, amount, importanceScores: given, empties: true });
    const scorerFor = method === "random" ? atRandom(model, options, context) : undefined;
    return pruneLeast(model, { ...options, importanceScores: given }, amountsFor, putMasks, scorerFor);
  },
});
