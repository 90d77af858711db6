/**
 * Pruning as a pass: the least weights, or the weakest channels, by magnitude or another criterion (`importance.ts`).
 *
 * Unstructured: the entries of least score become zero. The file keeps its size, compresses better, and runs no faster on ONNX Runtime.
 * `keepMasks` leaves the masks in the graph, so that training keeps the zeros: a mask has the size and type of its weight, so it doubles
 * a file until `remove` folds it in.
 *
 * Structured: whole channels are cut out, with everything that depends on them (`analysis/channels.ts`):
 *
 *     conv1.weight: [64, 3, 3, 3]     conv1.weight: [48, 3, 3, 3]
 *     conv2.weight: [64, 64, 3, 3]    conv2.weight: [64, 48, 3, 3]
 *
 * The file gets smaller and the model faster. Channels that cannot go (outputs of the model, operators that refuse) are misses.
 *
 * Layers: whole blocks that repeat, by their influence (`drop-layers.ts`).
 */
import type * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { hasFloatWeights } from "../analysis/weight.ts";
import type { Pattern } from "../calibrate/solver.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Context, definePass, type Outcome, type Pass } from "../passes/pass.ts";
import type { Allocation } from "./allocations/allocation.ts";
import { allocations } from "./allocations/index.ts";
import { allocated } from "./amounts.ts";
import { pruneBySolver } from "./by-solver.ts";
import { criteria, looksAtGradients } from "./criteria/index.ts";
import { type Scorer, scorerOf } from "./importance.ts";
import { pruneLeast } from "./least-entries.ts";
import { pruneMoves } from "./moves.ts";
import { type PruneOptions, type PruneSettings, pruneOptions, sharesItself, targetsIn } from "./options.ts";
import { entries, patternOf } from "./pattern.ts";
import { foldMasks, isPruned } from "./remove.ts";
import { solvers } from "./solvers/index.ts";

/**
 * Prunes weights by magnitude, or by another criterion: single ones become zero, or whole channels are cut out. Masks that the model has are
 * folded in, unless `keepMasks`, or nothing is pruned: then the model stays as it is.
 * @throws PithError E_OPTION for options that do not fit, or where the amount is given twice or not at all, E_NAME for a name that fits no layer.
 * @example
 * await prune(net, { amount: 0.5 }); // half of each layer's weights are zero
 * await prune(net, { amount: 0.5, keepMasks: true }); // masks keep the zeros in training; remove(net) folds them in
 * await prune(net, { structured: 0.3, except: "conv1" }); // 30 % of the channels of each layer are gone
 * await prune(net, { dropLayers: 1, data }); // the repeated layer that changes least what it reads is gone
 * await prune(net, { pattern: "2:4" }); // of four inputs of an output in a row two are left
 * await prune(net, { amount: 0.5, importance: "random" }); // what any criterion has to be better than
 */
export const prune: Pass<v.GenericSchema<PruneOptions>> = definePass({
  id: "prune",
  summary: "Set the smallest weights to zero, or remove the channels with the smallest norms, or layers",
  options: pruneOptions,
  data: {
    when: ({ importance, solver, dropLayers }) =>
      dropLayers !== undefined
        ? "how much a layer changes is measured on samples"
        : criteria.looksAtSamples(importance)
          ? "the criterion looks at samples"
          : solvers.looksAtSamples(solver)
            ? "the solver looks at samples"
            : undefined,
    labelled: ({ importance }) => looksAtGradients(importance),
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
      : typeof pattern === "string" && sharesItself(pattern)
        ? "Leave layers whole (`except`), or fewer gaps in each (`pattern`)"
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
  async run(model, given, context) {
    const { dropLayers: layersToDrop, data, samples } = given;
    requireMasks(model, given);
    if ((layersToDrop !== undefined || given.structured !== false) && !hasFloatWeights(model, infer(model)))
      context.log({ id: "order", text: codesFirst, level: "warning" });
    if (layersToDrop !== undefined) {
      const { dropLayers } = await import("./drop-layers.ts");
      return dropLayers(model, layersToDrop, { data, samples }, context);
    }
    const pattern = patternOf(given.pattern ?? criteria.of(given.importance).pattern);
    // The schema asks for one of them.
    const share = typeof given.structured === "number" ? given.structured : (given.amount ?? pattern?.share);
    const [kind] = targetsIn(given);
    if (share === undefined && kind === undefined)
      throw new PithError(
        "E_OPTION",
        `prune: "amount": the pattern "${pattern?.id ?? entries}" needs one, for example 0.5.`,
      );
    if (share === 0 && given.overrides === undefined)
      return { changes: [], misses: [new Miss("an amount of 0 prunes nothing")] };
    const scope = allocations.of(given.scope);
    const cutChannels = async (): Promise<Outcome> => {
      // What follows channels through a graph is loaded where they are cut.
      const { pruneStructured } = await import("./structured.ts");
      const bound = kind && { kind, value: given[kind] ?? 0 };
      return pruneStructured(model, { ...given, scope, amount: share ?? bound ?? 0 }, context);
    };
    const outcome =
      given.structured === false
        ? await pruneUnstructured(model, { ...given, scope, amount: share ?? 0, pattern }, context)
        : await cutChannels();
    if (!given.keepMasks && outcome.changes.length > 0 && isPruned(model)) await foldMasks(model);
    return outcome;
  },
});

const codesFirst =
  "the weights are quantized, so what is lost now cannot be recovered. Prune the float model, recover it, and quantize last";

/** Cutting channels puts no masks in: it keeps those that there are. @throws PithError E_OPTION where there are none. */
function requireMasks(
  model: Model,
  { structured = false, keepMasks = false }: { readonly structured?: unknown; readonly keepMasks?: unknown },
): void {
  if (structured === false || keepMasks === false || isPruned(model)) return;
  throw new PithError("E_OPTION", "prune: `keepMasks` with `structured` keeps the masks of a model, and it has none.", {
    hint: "Channels are cut out, so there is nothing to mask: leave `keepMasks` out.",
  });
}

function pruneUnstructured(
  model: Model,
  {
    amount,
    scope,
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
  const amountsFor = allocated(model, {
    allocation: scope,
    amount: { fraction: amount },
    overrides: Object.fromEntries(Object.entries(overrides).map(([name, own]) => [name, share(own.amount)])),
    empties: false,
  });
  const by = solver === undefined ? undefined : solvers.of(solver);
  if (by === undefined && pattern === undefined) return pruneLeast(model, choice, amountsFor, scorerFor);
  return pruneBySolver(model, { ...choice, ...scoring, solver: by, pattern }, amountsFor, scorerFor, context);
}
