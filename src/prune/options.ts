/** The options of `prune`, and what has to hold between them. */
import * as v from "valibot";
import type { Pattern } from "../calibrate/solver.ts";
import { datasetOption } from "../data/option.ts";
import {
  bytesOf,
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  selectionOptions,
  sizeOption,
} from "../passes/options.ts";
import type { Loss } from "../train/loss.ts";
import { allocations } from "./allocations/index.ts";
import { criteria, ofChannelsAlone, ranksWeights } from "./criteria/index.ts";
import { entries, patternOf, patternSchema } from "./pattern.ts";
import { solvers } from "./solvers/index.ts";

const share = v.pipe(
  v.number("takes a number from 0 to 1"),
  v.minValue(0, "takes a number from 0 to 1"),
  v.maxValue(1, "takes a number from 0 to 1"),
);

const notWithShare = "is not for a pattern that says itself how much goes, such as n:m";

/** Whether a pattern says how much goes. */
export const sharesItself = (pattern: string | Pattern | undefined): boolean => patternOf(pattern)?.share !== undefined;

const bytesOption = v.union(
  [v.pipe(v.number(), v.minValue(1)), v.pipe(sizeOption, v.transform(bytesOf))],
  "takes a size such as 300kB or 2MB",
);

/** Read where gradients are asked for: what trains is loaded then. */
const lossSchema = v.union(
  [v.string(), v.custom<Loss>((value) => typeof value === "object" && value !== null && "build" in value)],
  "must be a loss",
);

const fields = v.strictObject({
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
  scope: described(v.optional(allocations.schema, "uniform"), "how the amount is spread over the layers, or a module", {
    value: "scope",
    meanings: allocations.meanings,
  }),
  ...selectionOptions("prune"),
  /** For single layers, which then have no part in the scope: { "layer4*": { amount: 0.2 } }. */
  overrides: overridesOption({ amount: v.optional(share) }),
  /**
   * Criterion that scores weights: "magnitude" (default), "wanda", "snip", "movement", "fisher", "random", an own one, or the path of a module whose
   * default export is one. It ranks channels, too, by the norm of their weights' scores unless it says otherwise; channels alone "taylor", "fpgm",
   * "bn-scale" and "activation".
   */
  importance: described(v.optional(criteria.schema, "magnitude"), "ranks weights or channels; or a module", {
    value: "criterion",
    meanings: criteria.meanings,
  }),
  /**
   * Which entries go together, and are compared: "entries" of a layer (default, but for "wanda"), "rows" (each output loses its share), n:m such as "2:4"
   * (of four inputs in a row the two largest stay; needs no amount), blocks of outputs × inputs such as "4x1", an own one, or the path of a module.
   */
  pattern: option(patternSchema, 'weights that go together: "entries", "rows", n:m (n stay), blocks such as 4x1', {
    value: "pattern",
  }),
  /** "sparsegpt": chooses what goes and corrects what stays, layer after layer; or an own one, or the path of a module; in place of an importance. */
  solver: option(solvers.schema, "chooses, and corrects what is left, in place of a criterion; or a module", {
    value: "solver",
    meanings: solvers.meanings,
  }),
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
  /** Structured, in place of an amount: cut until the file takes at most so many bytes, as a number or as "300kB". */
  targetSize: option(bytesOption, "structured: cut until the file takes at most this", { value: "300kB" }),
  /** Structured, in place of an amount: cut until a run on one thread of this machine is so many times as fast. */
  faster: option(
    v.pipe(v.number(), v.gtValue(1, "takes a number above 1")),
    "structured: cut until it is so many times as fast here",
  ),
  /**
   * Structured: leave a multiple of so many channels in each layer. Unless said, any number with an amount; with another target 16, the width in which ONNX
   * Runtime convolves, or 8 or 4 where that does not reach it.
   */
  roundTo: option(
    countOption,
    "structured: leave multiples of so many channels; 16 is fast (default: 1; with a target 16, 8 or 4)",
  ),
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
});

type Fields = v.InferOutput<typeof fields>;

/** What has to hold, and what is said of an option where it does not. */
const rule = <Name extends keyof Fields>(
  name: Name,
  holds: (given: Fields) => boolean,
  otherwise: string | ((given: Fields) => string),
) =>
  v.forward(
    v.check<Fields, (issue: v.CheckIssue<Fields>) => string>(holds, ({ input }) =>
      typeof otherwise === "string" ? otherwise : otherwise(input),
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
      ([amount, pattern, solver, layers, except, overrides].every((one) => one === undefined) &&
        structured === false &&
        importance === "magnitude" &&
        !keepMasks &&
        targetsIn(given).length === 0),
    "is for whole layers: only `data` and `samples` go with it",
  ),
  rule(
    "overrides",
    ({ overrides, structured, scope }) => overrides === undefined || structured === false || scope === "uniform",
    'is for `scope: "uniform"`: others rank the channels of layers together',
  ),
  rule(
    "amount",
    ({ amount, structured, pattern, dropLayers, ...given }) =>
      dropLayers !== undefined ||
      amount !== undefined ||
      typeof structured === "number" ||
      hasOwnShare(pattern) ||
      targetsIn(given).length > 0,
    'is needed, for example 0.5; or `pattern: "2:4"`, `dropLayers`, or with `structured` one of `macs`, `parameters`, `targetSize` and `faster`',
  ),
  rule(
    "scope",
    ({ structured, scope }) => {
      const allocation = allocations.known(scope);
      // Of a module it is not known yet.
      return allocation === undefined || (structured === false ? allocation.shares : allocation.together) !== undefined;
    },
    'is "uniform", "global" or "isomorphic" with `structured`, or an own one with `together`; "isomorphic" only then',
  ),
  rule(
    "importance",
    ({ importance, structured }) => structured !== false || isOfWeights(importance),
    ({ importance }) => ofChannelsAlone(criteria.known(importance)?.id ?? ""),
  ),
  rule(
    "pattern",
    ({ pattern = entries, structured }) => pattern === entries || structured === false,
    "is for single weights, without `structured`",
  ),
  rule(
    "solver",
    ({ solver, importance, structured }) =>
      solver === undefined || (importance === "magnitude" && structured === false),
    "is for single weights, without `importance` and `structured`",
  ),
  ofChannels("macs", ({ macs }) => macs !== undefined),
  ofChannels("parameters", ({ parameters }) => parameters !== undefined),
  ofChannels("targetSize", ({ targetSize }) => targetSize !== undefined),
  ofChannels("faster", ({ faster }) => faster !== undefined),
  v.check(
    ({ amount, structured, ...given }) =>
      targetsIn(given).length === 0 || (structured === true && amount === undefined && targetsIn(given).length === 1),
    "give only one of amount (which a number for structured is, too), macs, parameters, targetSize and faster",
  ),
  ofChannels("throughNorms", ({ throughNorms }) => throughNorms),
  ofChannels("roundTo", ({ roundTo }) => roundTo !== undefined),
  ofChannels("norm", ({ norm }) => norm !== 2),
  rule(
    "amount",
    ({ amount, structured }) => amount === undefined || typeof structured !== "number",
    "is given twice: by itself and with `structured`",
  ),
  rule("amount", ({ amount, pattern }) => amount === undefined || !sharesItself(pattern), notWithShare),
  rule("scope", ({ scope, pattern }) => scope === "uniform" || !sharesItself(pattern), notWithShare),
  rule("overrides", ({ overrides, pattern }) => overrides === undefined || !sharesItself(pattern), notWithShare),
);

export type PruneOptions = v.InferInput<typeof pruneOptions> & LayerSelection;

/** With what is not said filled in. */
export type PruneSettings = v.InferOutput<typeof pruneOptions>;

const targets = ["macs", "parameters", "targetSize", "faster"] as const;

export const targetsIn = (given: Partial<Record<(typeof targets)[number], unknown>>) =>
  targets.filter((name) => given[name] !== undefined);

/** Of a module it is not known yet. */
function isOfWeights(importance: Fields["importance"]): boolean {
  const criterion = criteria.known(importance);
  return criterion === undefined || ranksWeights(criterion);
}

/** Whether no amount is needed; of a module it is not known yet. */
function hasOwnShare(pattern: string | Pattern = entries): boolean {
  const found = patternOf(pattern);
  return found === undefined ? pattern !== entries : found.share !== undefined;
}
