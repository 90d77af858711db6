import * as v from "valibot";
import { datasetOption } from "../data/option.ts";
import {
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  positiveOption,
  selectionOptions,
} from "../passes/options.ts";
import { activations } from "./activations.ts";
import { decompositions, methods } from "./decompositions.ts";

const fraction = v.pipe(positiveOption, v.maxValue(1, "must be at most 1"));
const rank = v.optional(countOption);
const method = v.picklist(["auto", ...methods]);

export const rules = ["rank", "energy", "ratio", "budget"] as const;
type Rules = { readonly [K in (typeof rules)[number]]?: unknown };

export const hasRule = (given: Rules): boolean => rules.some((rule) => given[rule] !== undefined);

export const factorizeOptions = v.pipe(
  v.strictObject({
    /** Keep this many singular values. */
    rank: described(rank, "keep this many singular values"),
    /** Keep this share of the squared singular values: 0.95. */
    energy: option(fraction, "keep this share of the squared singular values of each layer, for instance 0.99"),
    /** Keep this share of each layer's weights, or multiply-accumulates: 0.5. */
    ratio: option(fraction, "keep this share of the weights of each layer, for instance 0.5"),
    /** Keep this share of the weights, or multiply-accumulates, of the whole model: 0.5. */
    budget: option(
      fraction,
      "keep this share of the weights of the model, spread over its layers so that the least is lost",
    ),
    /** Cost to which `ratio` and `budget` refer, and at which methods are compared ("weights"). */
    cost: described(v.optional(v.picklist(["weights", "macs"]), "weights"), "what `ratio` and `budget` are shares of"),
    /** Kind of chain; "auto" (default) minimizes the loss at equal cost. */
    method: described(v.optional(method, "auto"), "which thinner layers replace a layer", {
      meanings: {
        title: "Methods",
        rows: [
          ["auto", "the method with the smallest error at equal cost"],
          ...methods.map((id) => [id, decompositions[id].summary] as const),
        ],
      },
    }),
    /** Criterion for spreading a budget: lost singular values, or also the resulting output error ("spectrum"). */
    allocation: described(
      v.optional(v.picklist(["spectrum", "sensitivity"]), "spectrum"),
      "spreads `budget` by singular values, or also output errors",
    ),
    /** Minimize the error of layer outputs on samples instead of the weight error. */
    activations: option(v.picklist(activations), "minimize the error of layer outputs on samples, not of weights"),
    /** Time each layer and its replacement (true). */
    timing: described(v.optional(v.boolean(), true), "time each layer and its replacement", {
      negated: "do not measure the speed of layers",
    }),
    ...selectionOptions("factorize"),
    /** Rules of single layers: { "fc1": { rank: 8 }, "encoder*": { energy: 0.99 } }. */
    overrides: overridesOption({
      rank,
      energy: v.optional(fraction),
      ratio: v.optional(fraction),
      method: v.optional(method),
    }),
    /** Samples for sensitivity and layer inputs, or the path of a data set, whose training split is used. */
    data: option(datasetOption, "samples on which the sensitivity and the inputs of layers are measured"),
    /** Number of samples (64). */
    samples: described(v.optional(countOption, 64), "number of samples to measure on"),
  }),
  v.check(
    (given) =>
      [given as Rules, ...Object.values(given.overrides ?? {})].every(
        (one: Rules) => rules.filter((rule) => one[rule] !== undefined).length < 2,
      ),
    "give at most one of rank, energy, ratio and budget",
  ),
);

/** At most one of `rank`, `energy`, `ratio`, `budget`. Default: 95 % of the energy, with at most 2/3 of the weights and no more time. */
export type FactorizeOptions = v.InferInput<typeof factorizeOptions> & LayerSelection;
export type Options = v.InferOutput<typeof factorizeOptions>;
