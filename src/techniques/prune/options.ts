/** Options of `prune`: amounts, costs, patterns, criteria and solvers. */
import * as v from "valibot";
import { datasetOption } from "#batches";
import type { LayerSelection } from "#pass";
import { countOption, option, overridesOption, parseSize, selectionOptions, sizeOption, withHelp } from "#pass";
import type { Loss } from "../../learn/train/loss.ts";
import type { Pattern } from "../calibrate/solver.ts";
import { allocations } from "./allocations.ts";
import { channelsOnly, criteria, ranksWeights } from "./criteria.ts";
import { entriesId, patternOf, patternSchema } from "./pattern.ts";
import { solvers } from "./solvers.ts";

const share = v.pipe(
  v.number("takes a number from 0 to 1"),
  v.minValue(0, "takes a number from 0 to 1"),
  v.maxValue(1, "takes a number from 0 to 1"),
);

/** Returns whether a pattern, such as n:m, determines the share that is removed. */
export const hasFixedShare = (pattern: string | Pattern | undefined): boolean =>
  patternOf(pattern)?.share !== undefined;

const bytesOption = v.union(
  [v.pipe(v.number(), v.minValue(1)), v.pipe(sizeOption, v.transform(parseSize))],
  "takes a size such as 300kB or 2MB",
);

const lossSchema = v.union(
  [v.string(), v.custom<Loss>((value) => typeof value === "object" && value !== null && "build" in value)],
  "must be a loss",
);

const fields = v.strictObject({
  /** Share of the remaining weights or channels to remove: 0.5. Required unless `structured`, `pattern`, `dropLayers` or a maximum cost sets it. */
  amount: option(share, "share of the remaining weights or channels to remove", { common: true }),
  /** Removes whole channels instead of setting individual weights to zero. A number is the amount (false). */
  structured: withHelp(
    v.optional(v.union([v.boolean(), share], "takes true, false or a number from 0 to 1"), false),
    "remove whole channels and heads instead of individual weights",
    { value: "amount", common: true },
  ),
  /** Allocation of the amount to the layers: a name, a method, or the path of a module. Default: "uniform" for weights, "isomorphic" for channels; with a bound and Taylor scores, the loss per saved cost. */
  scope: option(
    allocations.schema,
    "spread of the amount, or a module (default: uniform; channels: isomorphic or by cost)",
    { value: "scope", meanings: allocations.meanings },
  ),
  /** Largest share that a layer may lose: 0.8. Other layers lose more instead. */
  maxLayerAmount: option(
    v.pipe(share, v.gtValue(0, "takes a number above 0")),
    "largest share that a layer may lose; others lose more instead (default: 100%)",
  ),
  ...selectionOptions("prune"),
  /** Amounts of individual layers, which the allocation then omits: { "layer4*": { amount: 0.2 } }. */
  overrides: overridesOption({ amount: v.optional(share) }),
  /** Criterion that ranks weights or channels: a name, a method, or the path of a module. Default: "magnitude"; for channels with data "taylor", or "activation" without classes. */
  importance: option(
    criteria.schema,
    "criterion or module; lowest scores go (default: magnitude; --structured --data: taylor)",
    { value: "criterion", common: true, meanings: criteria.meanings },
  ),
  /** Weights that are removed together: "entries" (default; wanda: "rows"), "rows", or n:m such as "2:4". */
  pattern: option(patternSchema, 'weights removed together: "entries", "rows", n:m (n are kept)', { value: "pattern" }),
  /** Solver that selects weights and updates the others, layer by layer, such as "sparsegpt". It replaces the criterion. */
  solver: option(solvers.schema, "selects weights and updates the others, instead of a criterion; or a module", {
    value: "solver",
    meanings: solvers.meanings,
  }),
  /** Removes n of the repeated layers: those that change their input least. Nothing else is pruned. */
  dropLayers: option(countOption, "remove n of the repeated blocks: those that change their input least", {
    value: "n",
    common: true,
  }),
  /** Samples for a criterion or solver, or the path of a data set, whose training split is used. */
  data: option(datasetOption, "samples for a criterion or solver"),
  /** Number of samples for the criterion or solver (256). */
  samples: withHelp(v.optional(countOption, 256), "number of samples for the criterion or solver"),
  /** Loss for criteria that use gradients ("cross-entropy"; without `importance`, one that needs no labels). */
  loss: option(lossSchema, "loss for criteria that use gradients (default for named ones: cross-entropy)"),
  /** Removes channels until this share of the multiply-accumulates is left: 0.5. */
  macs: option(share, "structured: remove channels until this share of the multiply-adds (MACs) is left", {
    common: true,
  }),
  /** Removes channels until the file is at most this large: a number of bytes, or "300kB". */
  targetSize: option(bytesOption, "structured: remove channels until the file is at most this large", {
    value: "300kB",
    common: true,
  }),
  /** Removes channels until a run on one thread of this machine is this many times as fast. */
  faster: option(
    v.pipe(v.number(), v.gtValue(1, "takes a number above 1")),
    "structured: remove channels until the model is this many times as fast here",
    { common: true },
  ),
  /** Multiple of channels that each layer keeps. The default is 16, 8, 4 or 1, by the width of the layer. */
  roundTo: option(
    countOption,
    "structured: keep a multiple of n channels (default: 16, 8, 4 or 1 by the width of the layer)",
    { value: "n" },
  ),
  /** Also removes channels that are normalized together. The normalization then computes its statistics from the remaining channels only (false). */
  throughNorms: withHelp(
    v.optional(v.boolean(), false),
    "structured: also remove channels that are normalized together; needs pith recover",
  ),
  /** Stores the masks in the file, so that `train` keeps the zeros (false). */
  keepMasks: withHelp(v.optional(v.boolean(), false), "store masks, so that pith train keeps the zeros"),
});

/** An interface, because declarations write out a type alias at each use. */
interface Fields extends v.InferOutput<typeof fields> {}

/** Checks several options. @param fault the error about the option `name`, if the check fails. */
const rule = <Name extends keyof Fields>(
  name: Name,
  holds: (options: Fields) => boolean,
  fault: string | ((options: Fields) => string),
) =>
  v.forward(
    v.check<Fields, (issue: v.CheckIssue<Fields>) => string>(holds, ({ input }) =>
      typeof fault === "string" ? fault : fault(input),
    ),
    [name],
  );

const forChannels = <Name extends keyof Fields>(name: Name, unset?: Fields[Name]) =>
  rule(name, (options) => options.structured !== false || options[name] === unset, "is for `structured`");

const onlyBound = (name: (typeof costs)[number]) =>
  rule(
    name,
    ({ structured, amount, ...others }) => others[name] === undefined || (structured === true && amount === undefined),
    (options) => `is for \`structured\` without an amount: use \`structured\` \`${name}: ${options[name]}\``,
  );

const notWithShare = (name: "amount" | "scope" | "maxLayerAmount" | "overrides") =>
  rule(
    name,
    (options) => options[name] === undefined || !hasFixedShare(options.pattern),
    "is not for a pattern that sets the share itself, such as n:m",
  );

export const pruneOptions = v.pipe(
  fields,
  rule(
    "dropLayers",
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
      ...others
    }) =>
      dropLayers === undefined ||
      ([amount, pattern, solver, layers, except, overrides, importance].every((option) => option === undefined) &&
        structured === false &&
        !keepMasks &&
        costBounds(others).length === 0),
    "is for whole layers: only `data` and `samples` can be combined with it",
  ),
  rule(
    "amount",
    ({ amount, structured, pattern, dropLayers, ...others }) =>
      dropLayers !== undefined ||
      amount !== undefined ||
      typeof structured === "number" ||
      needsNoAmount(pattern) ||
      costBounds(others).length > 0,
    'is required for weights, for example 0.5; for channels give `structured: 0.3`, or `structured` with `macs`, `targetSize` or `faster`. Others: `pattern: "2:4"`, `dropLayers`',
  ),
  rule(
    "scope",
    ({ structured, scope }) => {
      const allocation = allocations.known(scope);
      return allocation === undefined || (structured === false ? allocation.shares : allocation.together) !== undefined;
    },
    'must be "uniform", "global" or "isomorphic" with `structured`, or a custom allocation with `together`; "isomorphic" requires `structured`',
  ),
  rule(
    "importance",
    ({ importance, structured }) => structured !== false || canRankWeights(importance),
    ({ importance }) => channelsOnly(criteria.known(importance)?.id ?? ""),
  ),
  rule(
    "pattern",
    ({ pattern = entriesId, structured }) => pattern === entriesId || structured === false,
    "is for individual weights, without `structured`",
  ),
  rule(
    "solver",
    ({ solver, importance, structured }) => solver === undefined || (importance === undefined && structured === false),
    "is for individual weights, without `importance` and `structured`",
  ),
  onlyBound("macs"),
  onlyBound("targetSize"),
  onlyBound("faster"),
  v.check((options) => costBounds(options).length < 2, "give only one of `macs`, `targetSize` and `faster`"),
  forChannels("throughNorms", false),
  forChannels("roundTo"),
  rule(
    "amount",
    ({ amount, structured }) => amount === undefined || typeof structured !== "number",
    "is given twice: directly and with `structured`",
  ),
  notWithShare("amount"),
  notWithShare("scope"),
  notWithShare("maxLayerAmount"),
  notWithShare("overrides"),
);

export type PruneOptions = v.InferInput<typeof pruneOptions> & LayerSelection;

export type PruneSettings = v.InferOutput<typeof pruneOptions>;

const costs = ["macs", "targetSize", "faster"] as const;

/** Work of the gradient of a sample, in forward runs of the model. */
export const runsOfGradients = 6;

export const costBounds = (options: Partial<Record<(typeof costs)[number], unknown>>) =>
  costs.filter((name) => options[name] !== undefined);

// The module of a custom criterion or pattern is not loaded yet, so the checks accept it.

function canRankWeights(importance: Fields["importance"]): boolean {
  const criterion = criteria.known(importance);
  return criterion === undefined || ranksWeights(criterion);
}

function needsNoAmount(pattern: string | Pattern = entriesId): boolean {
  const method = patternOf(pattern);
  return method === undefined ? pattern !== entriesId : method.share !== undefined;
}
