/**
 * Pruning as a pass: weights or channels are ranked by a criterion (`criteria/`).
 *
 * Unstructured: weights become zero; the file compresses better, but is not smaller or faster. `keepMasks` stores masks for training, which doubles
 * the file until `remove` folds them in. Structured: removes channels and everything that depends on them:
 *
 *     conv1.weight: [64, 3, 3, 3]     conv1.weight: [48, 3, 3, 3]
 *     conv2.weight: [64, 64, 3, 3]    conv2.weight: [64, 48, 3, 3]
 */
import type * as v from "valibot";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { isQuantized } from "../../core/analysis/weight.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { type Context, definePass, type OptionValues, type Outcome, type Pass } from "../../core/pass/pass.ts";
import type { Pattern } from "../calibrate/solver.ts";
import type { Allocation } from "./allocation.ts";
import { allocations } from "./allocations.ts";
import { allocateAmounts, warnOfNarrowLayers } from "./amounts.ts";
import { criteria, magnitude, needsGradients } from "./criteria.ts";
import { type Scorer, scorerOf } from "./importance.ts";
import { pruneMoves, runsOfGradients } from "./moves.ts";
import { costBounds, hasFixedShare, type PruneOptions, type PruneSettings, pruneOptions } from "./options.ts";
import { entries, patternOf } from "./pattern.ts";
import { pruneBySolver, pruneLeast } from "./prune-entries.ts";
import { foldMasks, isPruned } from "./remove.ts";
import { solvers } from "./solvers.ts";

/**
 * Prunes individual weights (they become zero), whole channels (`structured`), or whole layers (`dropLayers`). Masks of the model are folded in, except with
 * `keepMasks` or if nothing is pruned: then the model is left unchanged.
 * @throws PithError E_OPTION for options that do not fit, or if the amount is missing or given twice, E_NAME for a name that fits no layer.
 * @example
 * await prune(net, { amount: 0.5 }); // half of each layer's weights are zero
 * await prune(net, { amount: 0.5, keepMasks: true }); // masks keep the zeros in training; remove(net) folds them in
 * await prune(net, { structured: 0.3, data }); // 30 % of the channels are removed, those that change the loss least
 * await prune(net, { structured: true, macs: 0.5, except: "conv1" }); // half of the multiply-accumulates are left
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
  sampleWork: {
    name: "gradients for the scores",
    runs: (options) => (needsGradients(options.importance) || ranksChannelsByData(options) ? runsOfGradients : 0),
  },
  async checkModel(copy, { structured, keepMasks, dropLayers }) {
    requireMasks(copy, { structured, keepMasks });
    if (typeof dropLayers !== "number") return;
    const { removableLayers } = await import("./drop-layers.ts");
    removableLayers(copy, dropLayers);
  },
  moves: pruneMoves,
  gentler: ({ pattern, dropLayers }) =>
    dropLayers !== undefined
      ? "Drop fewer layers"
      : typeof pattern === "string" && hasFixedShare(pattern)
        ? "Exclude layers (`except`), or use a `pattern` that removes less"
        : "Use a smaller amount",
  command: {
    suffix: () => ".pruned",
    examples: [
      "prune model.onnx --amount 50%",
      "prune resnet20.onnx --structured 30% --data cifar10/ --force -o resnet20.pruned.onnx",
      "prune bert_sst2/onnx/model.onnx --drop-layers 1 --data sst2.tsv --force",
    ],
    storesZeros: ({ structured = false, dropLayers }) => structured === false && dropLayers === undefined,
    next({ structured = false, keepMasks, dropLayers }, { model, written, data, trainable, holds }) {
      if (structured !== false || dropLayers !== undefined)
        return trainable && !holds
          ? `recover ${written} --original ${model} --data ${data}  # labels are not needed`
          : undefined;
      return keepMasks === true ? `train ${written} --data ${data}  # the zeros stay` : undefined;
    },
  },
  async run(model, options, context) {
    const { dropLayers: layersToDrop, data, samples } = options;
    requireMasks(model, options);
    const layers = allLayers(model, infer(model));
    if ((layersToDrop !== undefined || options.structured !== false) && layers.length > 0 && layers.every(isQuantized))
      context.log({ id: "order", text: codesFirst, level: "warning" });
    if (layersToDrop !== undefined) {
      const { dropLayers } = await import("./drop-layers.ts");
      return dropLayers(model, layersToDrop, { data, samples }, context);
    }
    const criterion = options.importance === undefined ? magnitude : criteria.of(options.importance);
    const pattern = patternOf(options.pattern ?? criterion.pattern);
    // The schema requires one of them.
    const share = typeof options.structured === "number" ? options.structured : (options.amount ?? pattern?.share);
    const [kind] = costBounds(options);
    if (share === undefined && kind === undefined)
      throw new PithError(
        "E_OPTION",
        `prune: "amount": the pattern "${pattern?.id ?? entries}" requires one, for example 0.5.`,
      );
    if (share === 0 && options.overrides === undefined)
      return { changes: [], misses: [new Miss("an amount of 0 prunes nothing")] };
    const scope = allocations.of(options.scope ?? (options.structured === false ? "uniform" : "isomorphic"));
    const cutChannels = async (): Promise<Outcome> => {
      // Channel analysis is loaded only for channels.
      const { pruneStructured } = await import("./structured.ts");
      const bound = kind && { kind, value: options[kind] ?? 0 };
      return pruneStructured(model, { ...options, scope, amount: share ?? bound ?? 0 }, context);
    };
    const outcome =
      options.structured === false
        ? await pruneUnstructured(model, { ...options, scope, amount: share ?? 0, pattern }, context)
        : await cutChannels();
    if (!options.keepMasks && outcome.changes.length > 0 && isPruned(model)) await foldMasks(model);
    return outcome;
  },
});

const codesFirst =
  "the weights are quantized, so the loss cannot be recovered later. Prune the float model, recover it, and quantize last";

/** Channels are ranked by samples, if there are any, unless a criterion is given. */
function ranksChannelsByData({ structured = false, importance, dropLayers }: OptionValues): boolean {
  return structured !== false && importance === undefined && dropLayers === undefined;
}

/** Structured pruning adds no masks; it keeps existing ones. @throws PithError E_OPTION if the model has none. */
function requireMasks(
  model: Model,
  { structured = false, keepMasks = false }: { readonly structured?: unknown; readonly keepMasks?: unknown },
): void {
  if (structured === false || keepMasks === false || isPruned(model)) return;
  throw new PithError("E_OPTION", "prune: `keepMasks` with `structured`: the model has no masks to keep.", {
    hint: "Channels are removed, not masked: omit `keepMasks`.",
  });
}

function pruneUnstructured(
  model: Model,
  {
    amount,
    scope,
    maxLayerAmount,
    layers: named,
    except,
    overrides = {},
    keepMasks,
    pattern,
    solver,
    ...scoring
  }: Omit<PruneSettings, "pattern" | "scope"> & {
    readonly amount: number;
    readonly scope: Allocation;
    readonly pattern: Pattern | undefined;
  },
  context: Context,
): Promise<Outcome> {
  const scorerFor = (layers: readonly Layer[]): Promise<Scorer> => scorerOf(model, layers, scoring, context);
  const choice = { layers: named, except, overrides, keepMasks };
  const share = (fraction: number | undefined) => (fraction === undefined ? {} : { amount: { fraction } });
  const amountsFor = allocateAmounts(model, {
    allocation: scope,
    amount: { fraction: amount },
    overrides: Object.fromEntries(Object.entries(overrides).map(([name, layer]) => [name, share(layer.amount)])),
    empties: false,
    maxLayerAmount,
    onSpread: (layers, share) => warnOfNarrowLayers(layers, share, "weights", context),
  });
  const chosenSolver = solver === undefined ? undefined : solvers.of(solver);
  if (chosenSolver === undefined && pattern === undefined) return pruneLeast(model, choice, amountsFor, scorerFor);
  return pruneBySolver(model, { ...choice, ...scoring, solver: chosenSolver, pattern }, amountsFor, scorerFor, context);
}
