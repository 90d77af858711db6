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
import * as v from "valibot";
import type { Layer } from "../analysis/layers.ts";
import type { Pattern } from "../calibrate/solver.ts";
import { datasetOption } from "../data/option.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import {
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  selectionOptions,
} from "../passes/options.ts";
import { looksAtSamples } from "../passes/own-methods.ts";
import { type Context, definePass, foldingMasks, type Outcome, type Pass } from "../passes/pass.ts";
import type { Loss } from "../train/loss.ts";
import { allocationOf, isOfChannels, scopeOption } from "./allocations/index.ts";
import { allocated } from "./amounts.ts";
import { pruneBySolver } from "./by-solver.ts";
import { putMasks, zeroEntries } from "./chosen.ts";
import { criteria, criterionOf, does, importanceOption } from "./criteria/index.ts";
import { type Scorer, scorerOf } from "./importance.ts";
import { entries, patternOf, patternSchema } from "./pattern.ts";
import { foldMasks, isPruned } from "./remove.ts";
import { pruneLeast } from "./rules.ts";
import { solverOf, solverOption, solvers } from "./solvers/index.ts";

const share = v.pipe(
  v.number("takes a number from 0 to 1"),
  v.minValue(0, "takes a number from 0 to 1"),
  v.maxValue(1, "takes a number from 0 to 1"),
);

const notWithShare = "is not for a pattern that says itself how much goes, such as n:m";

const units = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 };

const bytesOption = v.union(
  [
    v.pipe(v.number(), v.minValue(1)),
    v.pipe(
      v.string(),
      v.regex(/^\d+(\.\d+)?(B|kB|MB|GB)$/),
      v.transform((text) => Number.parseFloat(text) * units[text.replace(/^[\d.]+/, "") as keyof typeof units]),
    ),
  ],
  "takes a size such as 300kB or 2MB",
);

/** Read where gradients are asked for: what trains is loaded then. */
const lossSchema = v.union(
  [v.string(), v.custom<Loss>((value) => typeof value === "object" && value !== null && "build" in value)],
  "must be a loss",
);

const options = v.pipe(
  v.strictObject({
    /** Share of weights (or channels) to prune, of those that are left: 0.5. Needed, unless `structured` is a number. */
    amount: option(share, "share of the remaining weights (or channels) to prune"),
    /** Cut whole channels instead of setting single weights to zero; a number is the amount (false). */
    structured: described(
      v.optional(v.union([v.boolean(), share], "takes true, false or a number from 0 to 1"), false),
      "cut whole channels instead of masking single weights; a number is the amount",
      { value: "amount" },
    ),
    /**
     * How the amount is spread over the layers: "uniform", the same share of every layer (default); "uniform+", the same, sparing the first and the last;
     * "global", the least of all layers together; "global-normalized", the same relative to each layer's norm; "erk"; "lamp"; an own one, or the path of a
     * module whose default export is one. Channels: "uniform", "global" or "isomorphic", the least of all groups that go through the same operators.
     */
    scope: scopeOption,
    ...selectionOptions("prune"),
    /** For single layers, which then have no part in the scope: { "layer4*": { amount: 0.2 } }. */
    overrides: overridesOption({ amount: v.optional(share) }),
    /**
     * Criterion that scores weights: "magnitude" (default), "wanda", "snip", "movement", "fisher", "random", an own one, or the path of a module whose
     * default export is one. It ranks channels, too, by the norm of their weights' scores unless it says otherwise; channels alone "taylor", "fpgm",
     * "bn-scale" and "activation".
     */
    importance: importanceOption,
    /**
     * Which entries go together, and are compared: "entries" of a layer (default, but for "wanda"), "rows" (each output loses its share), n:m such as "2:4"
     * (of four inputs in a row the two largest stay; needs no amount), blocks of outputs × inputs such as "4x1", an own one, or the path of a module.
     */
    pattern: option(patternSchema, 'weights that go together: "entries", "rows", n:m (n stay), blocks such as 4x1', {
      value: "pattern",
    }),
    /** "sparsegpt": chooses what goes and corrects what stays, layer after layer; or an own one, or the path of a module; in place of an importance. */
    solver: solverOption,
    /**
     * In place of everything else: so many of the repeated layers go, those that change least what they read (block influence), with their parts of
     * a cache. Looks at samples; `keepLayers` removes layers by their position.
     */
    dropLayers: option(countOption, "remove so many repeated layers, those that change least what they read", {
      value: "n",
    }),
    /** Samples for an importance or a solver that looks at them, or their path, of which the train part is taken. */
    data: option(datasetOption, "samples for a criterion or solver that looks at them"),
    /** So many of them are looked at (256). */
    samples: described(v.optional(countOption, 256), "samples that are looked at"),
    /** What an importance that looks at gradients takes them of ("cross-entropy"). */
    loss: described(v.optional(lossSchema, "cross-entropy"), "for a criterion that looks at gradients"),
    /** Structured: rank channels by the sum of |score| (1) or of its squares (2, which is usual). */
    norm: described(v.optional(v.picklist([1, 2], "is 1 or 2"), 2), "structured: rank channels by L1 or L2 norm"),
    /** Structured, in place of an amount: cut until this share of the multiply-accumulates is left, for instance 0.5. */
    macs: option(share, "structured: cut until this share of the multiply-accumulates is left"),
    /** Structured, in place of an amount: cut until this share of the parameters is left. */
    parameters: option(share, "structured: cut until this share of the parameters is left"),
    /** Structured, in place of an amount: cut until the stored tensors take at most so many bytes, as a number or as "300kB". */
    targetSize: option(bytesOption, "structured: cut until the weights take at most this", { value: "300kB" }),
    /** Structured, in place of an amount: cut until a run on one thread of this machine is so many times as fast. */
    faster: option(
      v.pipe(v.number(), v.gtValue(1, "takes a number above 1")),
      "structured: cut until it is so many times as fast here",
    ),
    /**
     * Structured: leave a multiple of so many channels in each layer. Unless said, any number with an amount; with another target 16, the width in which ONNX
     * Runtime convolves, or 8 or 4 where that does not reach it.
     */
    roundTo: option(countOption, "structured: leave multiples of so many channels (with a target: 16)"),
    /**
     * Structured: cut channels, too, over which a normalization takes its statistics, such as those of the residual stream of a transformer (false). The
     * statistics are then of the channels that are left, so the result is not the network with the others silenced: `recover` or train it afterwards.
     */
    throughNorms: described(
      v.optional(v.boolean(), false),
      "structured: also cut channels that are normalized together; needs pith recover",
    ),
    /** Keep the masks in the file for fine-tuning: `train` leaves what they cover at zero (false). */
    keepMasks: described(v.optional(v.boolean(), false), "keep the masks in the file: pith train then keeps the zeros"),
  }),
  v.forward(
    v.check(
      ({
        dropLayers,
        amount,
        structured,
        pattern,
        solver,
        layers,
        except,
        overrides,
        importance,
        keepMasks,
        ...given
      }) =>
        dropLayers === undefined ||
        ([amount, pattern, solver, layers, except, overrides].every((one) => one === undefined) &&
          structured === false &&
          importance === "magnitude" &&
          !keepMasks &&
          targetsIn(given).length === 0),
      "is for whole layers: only `data` and `samples` go with it",
    ),
    ["dropLayers"],
  ),
  v.forward(
    v.check(
      ({ overrides, structured, scope }) => overrides === undefined || structured === false || scope === "uniform",
      'is for `scope: "uniform"`: others rank the channels of layers together',
    ),
    ["overrides"],
  ),
  v.forward(
    v.check(
      ({ amount, structured, pattern, dropLayers, ...given }) =>
        dropLayers !== undefined ||
        amount !== undefined ||
        typeof structured === "number" ||
        hasOwnShare(pattern) ||
        targetsIn(given).length > 0,
      "is needed, for example 0.5",
    ),
    ["amount"],
  ),
  v.forward(
    v.check(
      ({ structured, scope }) => (structured === false ? scope !== "isomorphic" : isOfChannels(scope)),
      'is "uniform", "global" or "isomorphic" with `structured`, the last only then',
    ),
    ["scope"],
  ),
  v.forward(
    v.check(
      ({ pattern = entries, structured }) => pattern === entries || structured === false,
      "is for single weights, without `structured`",
    ),
    ["pattern"],
  ),
  v.forward(
    v.check(
      ({ solver, importance, structured }) =>
        solver === undefined || (importance === "magnitude" && structured === false),
      "is for single weights, without `importance` and `structured`",
    ),
    ["solver"],
  ),
  v.check(
    ({ amount, structured, ...given }) =>
      targetsIn(given).length === 0 || (structured === true && amount === undefined && targetsIn(given).length === 1),
    "give one of amount, macs, parameters, targetSize and faster, all but the amount with `structured`",
  ),
  v.forward(
    v.check(({ throughNorms, structured }) => !throughNorms || structured !== false, "is for `structured`"),
    ["throughNorms"],
  ),
  v.forward(
    v.check(
      ({ amount, structured }) => amount === undefined || typeof structured !== "number",
      "is given twice: by itself and with `structured`",
    ),
    ["amount"],
  ),
  v.forward(
    v.check(({ amount, pattern }) => amount === undefined || patternOf(pattern)?.share === undefined, notWithShare),
    ["amount"],
  ),
  v.forward(
    v.check(({ scope, pattern }) => scope === "uniform" || patternOf(pattern)?.share === undefined, notWithShare),
    ["scope"],
  ),
  v.forward(
    v.check(
      ({ overrides, pattern }) => overrides === undefined || patternOf(pattern)?.share === undefined,
      notWithShare,
    ),
    ["overrides"],
  ),
);

export type PruneOptions = v.InferInput<typeof options> & LayerSelection;

const targets = ["macs", "parameters", "targetSize", "faster"] as const;

const targetsIn = (given: Partial<Record<(typeof targets)[number], unknown>>) =>
  targets.filter((name) => given[name] !== undefined);

/** Whether no amount is needed; of a module it is not known yet. */
function hasOwnShare(pattern: string | Pattern = entries): boolean {
  const found = patternOf(pattern);
  return found === undefined ? pattern !== entries : found.share !== undefined;
}

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
  options,
  data: {
    when: ({ importance, solver, dropLayers }) =>
      dropLayers !== undefined
        ? "how much a layer changes is measured on samples"
        : looksAtSamples(importance, does, criteria)
          ? "the criterion looks at samples"
          : looksAtSamples(solver, "prune", solvers)
            ? "the solver looks at samples"
            : undefined,
  },
  gentler: ({ pattern, dropLayers }) =>
    dropLayers !== undefined
      ? "Drop fewer layers"
      : typeof pattern === "string" && patternOf(pattern)?.share !== undefined
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
    next({ structured = false, keepMasks, dropLayers }, { model, written, data, derived }) {
      if (structured !== false || dropLayers !== undefined)
        return [
          `recover ${written} --original ${model} --data ${data}  # labels are not needed`,
          `train ${derived(".recovered")} --original ${model} --data ${data} --learning-rate 3e-4`,
        ];
      return keepMasks === true
        ? [`train ${written} --data ${data}  # the zeros stay`, foldingMasks(derived(".trained"))]
        : [];
    },
  },
  async run(model, given, context) {
    const { dropLayers: layersToDrop, data, samples } = given;
    if (layersToDrop !== undefined) {
      const { dropLayers } = await import("./drop-layers.ts");
      return dropLayers(model, layersToDrop, { data, samples }, context);
    }
    const pattern = patternOf(given.pattern ?? criterionOf(given.importance).pattern);
    // The schema asks for one of them.
    const amount = typeof given.structured === "number" ? given.structured : (given.amount ?? pattern?.share);
    if (amount === undefined && targetsIn(given).length === 0)
      throw new PithError(
        "E_OPTION",
        `prune: "amount": the pattern "${pattern?.id ?? entries}" needs one, for example 0.5.`,
      );
    if (amount === 0 && given.overrides === undefined)
      return { changes: [], misses: [new Miss("an amount of 0 prunes nothing")] };
    const { macs, parameters, targetSize: size, faster } = given;
    const scope = isOfChannels(given.scope) ? given.scope : "uniform";
    const cutChannels = async (): Promise<Outcome> => {
      // What follows channels through a graph is loaded where they are cut.
      const { pruneStructured } = await import("./structured.ts");
      return pruneStructured(model, { ...given, scope, amount, bound: { macs, parameters, size, faster } }, context);
    };
    const outcome =
      given.structured === false
        ? await pruneUnstructured(model, { ...given, amount: amount ?? 0, pattern }, context)
        : await cutChannels();
    if (!given.keepMasks && outcome.changes.length > 0 && isPruned(model)) await foldMasks(model);
    return outcome;
  },
});

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
  }: Omit<v.InferOutput<typeof options>, "pattern"> & {
    readonly amount: number;
    readonly pattern: Pattern | undefined;
  },
  context: Context,
): Promise<Outcome> {
  const scorerFor = (layers: readonly Layer[]): Promise<Scorer> => scorerOf(model, layers, scoring, context);
  const writeMasks = keepMasks ? putMasks : zeroEntries;
  const choice = { layers: named, except, overrides };
  const sharing = { allocation: allocationOf(scope), amount: { fraction: amount }, overrides, empties: false };
  const amountsFor = allocated(model, sharing);
  const by = solverOf(solver);
  if (by === undefined && pattern === undefined) return pruneLeast(model, choice, amountsFor, writeMasks, scorerFor);
  return pruneBySolver(
    model,
    { ...choice, ...scoring, solver: by, pattern },
    amountsFor,
    writeMasks,
    scorerFor,
    context,
  );
}
