import * as v from "valibot";
import {
  bytesOf,
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  selectionOptions,
  sizeOption,
} from "../../core/pass/options.ts";
import { datasetOption } from "../../data/batches/option.ts";
import type { Loss } from "../../learn/train/loss.ts";
import type { Pattern } from "../calibrate/solver.ts";
import { allocations } from "./allocations/index.ts";
import { criteria, ofChannelsAlone, ranksWeights } from "./criteria/index.ts";
import { entries, patternOf, patternSchema } from "./pattern.ts";
import { solvers } from "./solvers/index.ts";

const share = v.pipe(
  v.number("takes a number from 0 to 1"),
  v.minValue(0, "takes a number from 0 to 1"),
  v.maxValue(1, "takes a number from 0 to 1"),
);

const notWithShare = "is not for a pattern that sets the share itself, such as n:m";

export const sharesItself = (pattern: string | Pattern | undefined): boolean => patternOf(pattern)?.share !== undefined;

const bytesOption = v.union(
  [v.pipe(v.number(), v.minValue(1)), v.pipe(sizeOption, v.transform(bytesOf))],
  "takes a size such as 300kB or 2MB",
);

/** Training is loaded only if a loss is read. */
const lossSchema = v.union(
  [v.string(), v.custom<Loss>((value) => typeof value === "object" && value !== null && "build" in value)],
  "must be a loss",
);

const fields = v.strictObject({
  /** Share of the remaining weights or channels to remove: 0.5. Required unless `structured` is a number. */
  amount: option(share, "share of the remaining weights or channels to remove", { common: true }),
  /** Removes whole channels instead of setting individual weights to zero. A number is the amount (false). */
  structured: described(
    v.optional(v.union([v.boolean(), share], "takes true, false or a number from 0 to 1"), false),
    "remove whole channels and heads instead of individual weights",
    { value: "amount", common: true },
  ),
  /**
   * How the amount is spread over the layers. Weights: "uniform" (default), "uniform+", "global", "global-normalized", "erk", "lamp". Channels: "isomorphic"
   * (default), "uniform", "global". Or a method of your own, or the path of a module whose default export is one.
   */
  scope: option(allocations.schema, "spread of the amount, or a module (default: uniform; --structured: isomorphic)", {
    value: "scope",
    meanings: allocations.meanings,
  }),
  /** The largest share that the allocation may remove of a layer: 0.8. Other layers lose more instead. */
  maxLayerAmount: option(
    v.pipe(share, v.gtValue(0, "takes a number above 0")),
    "largest share that a layer may lose; others lose more instead (default: 100%)",
  ),
  ...selectionOptions("prune"),
  /** Amounts for individual layers, which the allocation then leaves out: { "layer4*": { amount: 0.2 } }. */
  overrides: overridesOption({ amount: v.optional(share) }),
  /**
   * Criterion that ranks weights or channels: "magnitude", "wanda", "snip", "movement", "fisher", "random", for channels also "taylor", "fpgm", "bn-scale" and
   * "activation". Or a method of your own, or the path of a module whose default export is one. Default for weights: "magnitude". Default for channels:
   * "taylor" with `data` if the model scores classes (without `loss` it needs no labels), "activation" with `data` otherwise, "magnitude" without `data`.
   */
  importance: option(criteria.schema, "criterion or module (default: magnitude; --structured with --data: taylor)", {
    value: "criterion",
    common: true,
    meanings: criteria.meanings,
  }),
  /**
   * Which weights are removed together and compared: "entries" of a layer (default, except for "wanda"), "rows" (each output loses its share), n:m such as
   * "2:4" (the two largest of four consecutive inputs are kept; needs no amount), blocks of outputs × inputs such as "4x1", a method of your own, or the path of a module.
   */
  pattern: option(patternSchema, 'weights removed together: "entries", "rows", n:m (n are kept), blocks such as 4x1', {
    value: "pattern",
  }),
  /** "sparsegpt": selects weights and updates the others, layer by layer. Or a method of your own, or the path of a module. Replaces the criterion. */
  solver: option(solvers.schema, "selects weights and updates the others, instead of a criterion; or a module", {
    value: "solver",
    meanings: solvers.meanings,
  }),
  /**
   * Instead of everything else: removes n of the repeated layers, those that change their input least (block influence), with their part of a key-value
   * cache. Needs samples. `keepLayers` removes layers by position.
   */
  dropLayers: option(countOption, "remove n repeated layers: those that change their input least", {
    value: "n",
    common: true,
  }),
  /** Samples for a criterion or solver, or the path of a data set, whose training split is used. */
  data: option(datasetOption, "samples for a criterion or solver"),
  /** Number of samples for the criterion or solver (256). */
  samples: described(v.optional(countOption, 256), "number of samples for the criterion or solver"),
  /** Loss for criteria that use gradients ("cross-entropy"). */
  loss: option(lossSchema, "loss for criteria that use gradients (default: cross-entropy)"),
  /** Structured: rank channels by the sum of |score| (1) or of its squares (2). */
  norm: described(v.optional(v.picklist([1, 2], "is 1 or 2"), 2), "structured: rank channels by L1 or L2 norm"),
  /** Structured, instead of an amount: remove channels until this share of the multiply-accumulates is left, for instance 0.5. */
  macs: option(share, "structured: remove channels until this share of the MACs is left", { common: true }),
  /** Structured, instead of an amount: remove channels until this share of the parameters is left. */
  parameters: option(share, "structured: remove channels until this share of the parameters is left"),
  /** Structured, instead of an amount: remove channels until the file is at most this large, as a number of bytes or as "300kB". */
  targetSize: option(bytesOption, "structured: remove channels until the file is at most this large", {
    value: "300kB",
    common: true,
  }),
  /** Structured, instead of an amount: remove channels until a run on one thread of this machine is this many times as fast. */
  faster: option(
    v.pipe(v.number(), v.gtValue(1, "takes a number above 1")),
    "structured: remove channels until the model is this many times as fast here",
    { common: true },
  ),
  /**
   * Structured: the number of channels left in each layer is a multiple of this. By default 16 in layers of 64 channels or more, 8 from 32 on, 4 from 16 on, because
   * ONNX Runtime convolves in blocks of 16 channels; 1 in narrower layers.
   */
  roundTo: option(
    countOption,
    "structured: keep a multiple of n channels (default: 16, 8 or 4 by the width of the layer)",
    { value: "n" },
  ),
  /**
   * Structured: also remove channels that a normalization computes its statistics over, such as those of the residual stream of a transformer (false). The
   * statistics then cover the remaining channels only, so `recover` or train the result.
   */
  throughNorms: described(
    v.optional(v.boolean(), false),
    "structured: also remove channels that are normalized together; needs pith recover",
  ),
  /** Stores the masks in the file for fine-tuning: `train` then keeps masked weights at zero (false). */
  keepMasks: described(v.optional(v.boolean(), false), "store masks, so that pith train keeps the zeros"),
});

type Fields = v.InferOutput<typeof fields>;

/** A check over several options. @param fault the error about the option `name`, if the check fails. */
const rule = <Name extends keyof Fields>(
  name: Name,
  holds: (given: Fields) => boolean,
  fault: string | ((given: Fields) => string),
) =>
  v.forward(
    v.check<Fields, (issue: v.CheckIssue<Fields>) => string>(holds, ({ input }) =>
      typeof fault === "string" ? fault : fault(input),
    ),
    [name],
  );

const ofChannels = <Name extends keyof Fields>(name: Name, isGiven: (given: Fields) => boolean) =>
  rule(name, (given) => given.structured !== false || !isGiven(given), "is for `structured`");

export const pruneOptions = v.pipe(
  fields,
  rule(
    "dropLayers",
    ({ dropLayers, amount, structured, pattern, solver, layers, except, overrides, importance, keepMasks, ...given }) =>
      dropLayers === undefined ||
      ([amount, pattern, solver, layers, except, overrides, importance].every((one) => one === undefined) &&
        structured === false &&
        !keepMasks &&
        targetsIn(given).length === 0),
    "is for whole layers: only `data` and `samples` can be combined with it",
  ),
  rule(
    "amount",
    ({ amount, structured, pattern, dropLayers, ...given }) =>
      dropLayers !== undefined ||
      amount !== undefined ||
      typeof structured === "number" ||
      hasOwnShare(pattern) ||
      targetsIn(given).length > 0,
    'is required, for example 0.5; or `pattern: "2:4"`, `dropLayers`, or with `structured` one of `macs`, `parameters`, `targetSize` and `faster`',
  ),
  rule(
    "scope",
    ({ structured, scope }) => {
      const allocation = allocations.known(scope);
      // A module is not loaded yet.
      return allocation === undefined || (structured === false ? allocation.shares : allocation.together) !== undefined;
    },
    'must be "uniform", "global" or "isomorphic" with `structured`, or a custom allocation with `together`; "isomorphic" requires `structured`',
  ),
  rule(
    "importance",
    ({ importance, structured }) => structured !== false || isOfWeights(importance),
    ({ importance }) => ofChannelsAlone(criteria.known(importance)?.id ?? ""),
  ),
  rule(
    "pattern",
    ({ pattern = entries, structured }) => pattern === entries || structured === false,
    "is for individual weights, without `structured`",
  ),
  rule(
    "solver",
    ({ solver, importance, structured }) => solver === undefined || (importance === undefined && structured === false),
    "is for individual weights, without `importance` and `structured`",
  ),
  ofChannels("macs", ({ macs }) => macs !== undefined),
  ofChannels("parameters", ({ parameters }) => parameters !== undefined),
  ofChannels("targetSize", ({ targetSize }) => targetSize !== undefined),
  ofChannels("faster", ({ faster }) => faster !== undefined),
  v.check(
    ({ amount, structured, ...given }) =>
      targetsIn(given).length === 0 || (structured === true && amount === undefined && targetsIn(given).length === 1),
    "give only one of amount, a number for structured, macs, parameters, targetSize and faster",
  ),
  ofChannels("throughNorms", ({ throughNorms }) => throughNorms),
  ofChannels("roundTo", ({ roundTo }) => roundTo !== undefined),
  ofChannels("norm", ({ norm }) => norm !== 2),
  rule(
    "amount",
    ({ amount, structured }) => amount === undefined || typeof structured !== "number",
    "is given twice: directly and with `structured`",
  ),
  rule("amount", ({ amount, pattern }) => amount === undefined || !sharesItself(pattern), notWithShare),
  rule("scope", ({ scope, pattern }) => scope === undefined || !sharesItself(pattern), notWithShare),
  rule(
    "maxLayerAmount",
    ({ maxLayerAmount, pattern }) => maxLayerAmount === undefined || !sharesItself(pattern),
    notWithShare,
  ),
  rule("overrides", ({ overrides, pattern }) => overrides === undefined || !sharesItself(pattern), notWithShare),
);

export type PruneOptions = v.InferInput<typeof pruneOptions> & LayerSelection;

export type PruneSettings = v.InferOutput<typeof pruneOptions>;

const targets = ["macs", "parameters", "targetSize", "faster"] as const;

export const targetsIn = (given: Partial<Record<(typeof targets)[number], unknown>>) =>
  targets.filter((name) => given[name] !== undefined);

/** A module is not loaded yet. */
function isOfWeights(importance: Fields["importance"]): boolean {
  const criterion = criteria.known(importance);
  return criterion === undefined || ranksWeights(criterion);
}

/** Whether no amount is needed. A module is not loaded yet. */
function hasOwnShare(pattern: string | Pattern = entries): boolean {
  const found = patternOf(pattern);
  return found === undefined ? pattern !== entries : found.share !== undefined;
}
