/** Options of `factorize`, and the rules that choose ranks. */
import * as v from "valibot";
import { datasetOption } from "#batches";
import type { LayerSelection } from "#pass";
import { countOption, option, overridesOption, positiveOption, selectionOptions, withHelp } from "#pass";
import { activations } from "./activations.ts";
import { decompositions, methods } from "./decompositions.ts";

const fraction = v.pipe(positiveOption, v.maxValue(1, "must be at most 1"));
const rank = v.optional(countOption);
const method = v.picklist(["auto", ...methods]);

export const rules = ["budget", "rank"] as const;
type Rules = { readonly [K in (typeof rules)[number]]?: unknown };

export const factorizeOptions = v.pipe(
  v.strictObject({
    /** Keep this share of the weights, or multiply-accumulates, of the whole model: 0.5. */
    budget: option(
      fraction,
      "keep this share of the weights of the model, spread over its layers so that the least is lost",
      { common: true },
    ),
    /** Keep this many singular values of each layer. */
    rank: withHelp(rank, "keep this many singular values of each layer", { common: true }),
    /** Cost of which `budget` is a share, and which is equal when methods are compared ("weights"). */
    cost: withHelp(v.optional(v.picklist(["weights", "macs"]), "weights"), "what `budget` is a share of", {
      common: true,
    }),
    /** Decomposition method. "auto" (default): the least loss for a budget, the first that saves weights for a rank, else the cheapest. */
    method: withHelp(v.optional(method, "auto"), "which low-rank layers replace a layer", {
      common: true,
      meanings: {
        title: "Methods",
        rows: [
          ["auto", "budget: the smallest error; rank: the first method that saves weights; neither: the cheapest"],
          ...methods.map((id) => [id, decompositions[id].summary] as const),
        ],
      },
    }),
    /** Minimize the error of layer outputs on samples instead of the weight error. */
    activations: option(v.picklist(activations), "minimize the error of layer outputs on samples, not of weights"),
    ...selectionOptions("factorize"),
    /** Rules of individual layers; their budget is a share of the layer: { "fc1": { rank: 8 }, "encoder*": { budget: 0.5 } }. */
    overrides: overridesOption({ rank, budget: v.optional(fraction), method: v.optional(method) }),
    /** Samples for layer inputs, or the path of a data set, whose training split is used. */
    data: option(datasetOption, "samples on which the inputs of layers are measured"),
    /** Number of samples (64). */
    samples: withHelp(v.optional(countOption, 64), "number of samples to measure on"),
  }),
  v.check(
    (options) =>
      [options as Rules, ...Object.values(options.overrides ?? {})].every(
        ({ budget, rank }: Rules) => budget === undefined || rank === undefined,
      ),
    "give at most one of `budget` and `rank`",
  ),
);

/** At most one of `budget` and `rank`. Default: 95 % of the energy, with at most 2/3 of the weights. */
export type FactorizeOptions = v.InferInput<typeof factorizeOptions> & LayerSelection;
export type Options = v.InferOutput<typeof factorizeOptions>;
