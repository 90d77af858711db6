/**
 * Pruning as a pass: weights or channels are ranked by a criterion (`criteria.ts`).
 *
 * Unstructured: weights become zero. Structured: removes channels and everything that depends on them:
 *
 *     conv1.weight: [64, 3, 3, 3]     conv1.weight: [48, 3, 3, 3]
 *     conv2.weight: [64, 64, 3, 3]    conv2.weight: [64, 48, 3, 3]
 */
import type * as v from "valibot";
import { definePass, type OptionValues, type Pass } from "#pass";
import { criteria, needsGradients } from "./criteria.ts";
import { hasFixedShare, type PruneOptions, pruneOptions, runsOfGradients } from "./options.ts";
import { solvers } from "./solvers.ts";

/**
 * Prunes individual weights (they become zero), whole channels (`structured`), or whole layers (`dropLayers`). Masks of the model are folded in, except with
 * `keepMasks` or `dropLayers`. If nothing is pruned, the model is left unchanged.
 * @throws PithError E_OPTION for options that do not fit, or if the amount is missing or given twice, E_NAME for a name that fits no layer.
 * @example
 * await prune(net, { amount: 0.5 }); // half of each layer's weights are zero
 * await prune(net, { amount: 0.5, keepMasks: true }); // masks keep the zeros in training; remove(net) folds them in
 * await prune(net, { structured: 0.3, data }); // 30 % of the channels are removed, those that change the loss least
 * await prune(net, { structured: true, macs: 0.5, except: "conv1" }); // half of the multiply-accumulates remain
 * await prune(net, { dropLayers: 1, data }); // the repeated layer that changes its input least is removed
 * await prune(net, { pattern: "2:4" }); // two of four consecutive inputs of an output are kept
 * await prune(net, { amount: 0.5, importance: "random" }); // the baseline for all criteria
 */
export const prune: Pass<v.GenericSchema<PruneOptions>> = definePass({
  id: "prune",
  summary: "Set the lowest-scoring weights to zero, or remove channels or layers",
  options: pruneOptions,
  data: {
    when: ({ importance, solver, dropLayers }) =>
      dropLayers !== undefined
        ? "the influence of layers is measured on samples"
        : criteria.looksAtSamples(importance)
          ? "the criterion uses samples"
          : solvers.looksAtSamples(solver)
            ? "the solver uses samples"
            : undefined,
    helps: ranksChannelsByData,
    labelled: ({ importance }) => needsGradients(importance),
  },
  runsPerSample: (options) =>
    needsGradients(options.importance) || ranksChannelsByData(options) ? runsOfGradients : 0,
  checkModel: async (model, options) => (await import("./run.ts")).requirePrunable(model, options),
  moves: async (request) => (await import("./moves.ts")).pruneMoves(request),
  gentler: ({ pattern, dropLayers }) =>
    dropLayers !== undefined
      ? "Drop fewer layers"
      : typeof pattern === "string" && hasFixedShare(pattern)
        ? "Exclude layers (`except`), or use a `pattern` that removes less"
        : "Use a smaller amount",
  removesNotes: true,
  run: async (model, options, context) => (await import("./run.ts")).runPrune(model, options, context),
});

/** Returns whether channels are ranked on samples, if there are any: they are unless a criterion is given. */
function ranksChannelsByData({ structured = false, importance, dropLayers }: OptionValues): boolean {
  return structured !== false && importance === undefined && dropLayers === undefined;
}
