/**
 * The pruning rules of `torch.nn.utils.prune`: l1, random and L_n, per parameter or global, custom masks, and `identity`.
 *
 * Pruning again updates the same mask: amounts count remaining entries. Entries are ranked by the masked weight or `importanceScores`.
 */

import * as v from "valibot";
import { nameBeforeMasking } from "#analysis";
import type { Dense, Model, Value } from "#ir";
import { alongAxis, elementCount, fromNumbers, isDense, Miss, PithError, random, toFloat64 } from "#ir";
import { type Context, definePass, described, type Outcome, option, overridesOption, type Pass } from "#pass";
import { applyMask, type Mask } from "../../core/math/smallest.ts";
import { stored } from "../../rewrite/edit/mask.ts";
import { global, uniform } from "./allocations.ts";
import { type Amount, amountSchema, countOf } from "./amount.ts";
import { type AmountsFactory, allocateAmounts } from "./amounts.ts";
import { byMagnitude, scorerOf } from "./importance.ts";
import { channelNorms, intersect, keptChannels, keptCount, pruneChannels } from "./mask.ts";
import { maskEach, type ScorerFactory } from "./mask-choice.ts";
import { pruneLeast } from "./prune-entries.ts";
import { checkSameDims, readRanked, readTarget } from "./ranking.ts";
import { type ParameterSelection, type Target, targetEntries } from "./targets.ts";

const size = v.pipe(v.number(), v.integer(), v.minValue(0));
const denseSchema = v.union(
  [
    v.custom<Dense>(isDense),
    v.pipe(
      v.strictObject({ dims: v.array(size), data: v.array(v.number()) }),
      v.check(({ dims, data }) => data.length === elementCount(dims)),
      v.transform(({ dims, data }): Dense => fromNumbers("float32", dims, data)),
    ),
  ],
  "takes a tensor { type, dims, data } whose data fits its dimensions",
);
const perLayerSchema = v.union([denseSchema, v.record(v.string(), denseSchema)], "takes a tensor, or one per layer");
const importanceScores = option(perLayerSchema, "importance scores, used instead of the magnitudes");
const seedSchema = option(
  v.pipe(v.number(), v.integer("a seed is an integer")),
  "random seed (default: the seed of the run)",
);

const l1Schema = v.strictObject({
  ...targetEntries,
  amount: amountSchema,
  importanceScores,
  /** Options of individual layers: { "fc1": { amount: 0.2 } }. */
  overrides: overridesOption({ amount: v.optional(amountSchema) }),
});
export type L1Options = v.InferInput<typeof l1Schema> & ParameterSelection;

/**
 * Prunes exactly `amount` entries of smallest magnitude in each selected parameter, as PyTorch's `prune.l1_unstructured`. The mask becomes part of
 * the graph; `remove` folds it in.
 * @throws PithError E_NAME for an unknown layer, E_OPTION for an amount that does not fit, E_SHAPE_MISMATCH for scores of other dimensions.
 * @example
 * await l1Unstructured(net, { layers: "fc1", amount: 0.5 });
 * await l1Unstructured(net, { layers: "fc1", amount: 0.5 }); // a quarter is left
 */
export const l1Unstructured: Pass<v.GenericSchema<L1Options>> = definePass({
  id: "l1-unstructured",
  summary: "Mask the entries with the smallest magnitudes in each layer",
  options: l1Schema,
  run: (model, options) => pruneLeast(model, { ...options, keepMasks: true }, perLayer(model, options)),
});

const randomSchema = v.strictObject({ ...targetEntries, amount: amountSchema, seed: seedSchema });
export type RandomOptions = v.InferInput<typeof randomSchema> & ParameterSelection;

/** Prunes random entries, as PyTorch's `prune.random_unstructured`. They depend on `seed` (0) and the parameter's name. */
export const randomUnstructured: Pass<v.GenericSchema<RandomOptions>> = definePass({
  id: "random-unstructured",
  summary: "Mask entries at random, in each layer",
  options: randomSchema,
  run: (model, options, context) =>
    pruneLeast(
      model,
      { ...options, keepMasks: true },
      perLayer(model, options),
      scoreAtRandom(model, options, context),
    ),
});

const perLayer = (model: Model, options: Pick<L1Options, "amount" | "overrides">): AmountsFactory =>
  allocateAmounts(model, { ...options, allocation: uniform, empties: true });

const scoreAtRandom =
  (model: Model, { seed }: { seed?: number | undefined }, context: Context): ScorerFactory =>
  (layers) =>
    scorerOf(model, layers, { importance: "random" }, { ...context, seed: seed ?? context.seed });

const globalSchema = v.strictObject({
  ...targetEntries,
  /** Amount of all remaining entries of the selected parameters. */
  amount: amountSchema,
  method: described(
    v.optional(
      v.picklist(["l1", "random"], 'is "l1" or "random": only individual weights can be ranked across layers'),
      "l1",
    ),
    "by magnitude, or at random",
  ),
  /** By layer name; other layers are ranked by their weights. */
  importanceScores: option(
    v.record(v.string(), denseSchema, "takes tensors by layer name"),
    "importance scores, used instead of the magnitudes, by layer name",
  ),
  seed: seedSchema,
});
export type GlobalOptions = v.InferInput<typeof globalSchema> & ParameterSelection;

/**
 * Prunes the entries of smallest magnitude over all selected parameters together, as PyTorch's `prune.global_unstructured`. A layer can lose all of
 * its weights.
 * @throws PithError E_NAME for an unknown layer, E_OPTION for an amount that does not fit, E_SHAPE_MISMATCH for scores of other dimensions.
 * @example
 * await globalUnstructured(net, { layers: ["conv1", "conv2", "fc*"], amount: 0.8 });
 */
export const globalUnstructured: Pass<v.GenericSchema<GlobalOptions>> = definePass({
  id: "global-unstructured",
  summary: "Mask the entries with the smallest magnitudes over all layers",
  options: globalSchema,
  run(model, { method, amount, importanceScores, ...options }, context) {
    const ranking =
      method === "random"
        ? { importanceScores: undefined, scorerFor: scoreAtRandom(model, options, context) }
        : { importanceScores, scorerFor: undefined };
    const amountsFor = allocateAmounts(model, { allocation: global, amount, empties: true, ...ranking });
    return pruneLeast(model, { ...options, ...ranking, keepMasks: true }, amountsFor, ranking.scorerFor);
  },
});

const dim = described(
  v.pipe(v.number("is the number of an axis"), v.integer("is the number of an axis")),
  "the axis whose slices are channels",
);
const lnSchema = v.strictObject({
  ...targetEntries,
  amount: amountSchema,
  /** Order of the norm: any number, ±Infinity, "fro" or "nuc". */
  n: described(
    v.union(
      [
        v.number(),
        v.literal(Number.POSITIVE_INFINITY),
        v.literal(Number.NEGATIVE_INFINITY),
        v.picklist(["fro", "nuc"]),
      ],
      'is a number, Infinity, -Infinity, "fro" or "nuc"',
    ),
    'order of the norm: a number, "fro" or "nuc"',
  ),
  /** Channel axis; negative values count from the end. */
  dim,
  importanceScores,
});
export type LnOptions = v.InferInput<typeof lnSchema> & ParameterSelection;

/**
 * Masks whole channels of smallest L_n norm along `dim`, as PyTorch's `prune.ln_structured`: a fraction counts channels with
 * remaining entries. Dimensions do not change; `prune` with `structured: true` removes channels.
 * @throws PithError E_SHAPE_MISMATCH for a parameter with fewer than two axes, E_OPTION for an axis it does not have.
 * @example
 * await lnStructured(net, { layers: "conv1", amount: 0.25, n: 2, dim: 0 });
 */
export const lnStructured: Pass<v.GenericSchema<LnOptions>> = definePass({
  id: "ln-structured",
  summary: "Mask the channels with the smallest norms in each layer",
  options: lnSchema,
  run: (model, options) => {
    const { n, dim, importanceScores } = options;
    return pruneChannelsBy(model, options, async (target, mask) => {
      const { dims } = stored(target.parameter);
      const axis = channelAxis(target.parameter, dim);
      const rankedEntries = await readRanked(target, importanceScores, byMagnitude);
      if (rankedEntries instanceof Miss) return rankedEntries;
      const scores =
        rankedEntries.ranked.from === "weights" ? applyMask(rankedEntries.scores, mask) : rankedEntries.scores;
      return channelNorms(scores, dims, axis, n);
    });
  },
});

function pruneChannelsBy(
  model: Model,
  options: ParameterSelection & { amount: Amount; dim: number },
  scoresOfChannels: (target: Target, mask: Mask, count: number) => Float64Array | Promise<Float64Array | Miss>,
): Promise<Outcome> {
  const { amount, dim } = options;
  return maskEach(model, options, async (target, mask) => {
    const channels = alongAxis(stored(target.parameter).dims, channelAxis(target.parameter, dim));
    const scores = await scoresOfChannels(target, mask, channels.count);
    if (scores instanceof Miss) return scores;
    const remainingChannels = keptChannels(mask, channels);
    const score = (channel: number): number => scores[channel] ?? 0;
    const lowest = remainingChannels
      .toSorted((a, b) => score(a) - score(b))
      .slice(0, countOf(amount, remainingChannels.length, "channels"));
    return pruneChannels(mask, channels, lowest);
  });
}

const randomStructuredSchema = v.strictObject({ ...randomSchema.entries, dim });
export type RandomStructuredOptions = v.InferInput<typeof randomStructuredSchema> & ParameterSelection;

/** Masks random channels along `dim`, as PyTorch's `prune.random_structured`. */
export const randomStructured: Pass<v.GenericSchema<RandomStructuredOptions>> = definePass({
  id: "random-structured",
  summary: "Mask channels at random, in each layer",
  options: randomStructuredSchema,
  run: (model, options, context) =>
    pruneChannelsBy(model, options, ({ parameter }, mask, count) => {
      // The number of remaining entries is a part of the seed, so that repeated calls draw other random numbers.
      const numbers = random(options.seed ?? context.seed, "prune", nameBeforeMasking(parameter), keptCount(mask));
      return Float64Array.from({ length: count }, () => numbers.uniform());
    }),
});

const customSchema = v.strictObject({
  ...targetEntries,
  /** 1 (or true) keeps an entry. */
  mask: described(perLayerSchema, "1 keeps an entry, 0 removes it; for all layers, or by layer name"),
});
export type CustomOptions = v.InferInput<typeof customSchema> & ParameterSelection;

/** Applies `mask` in addition to existing masks, as PyTorch's `prune.custom_from_mask`. */
export const customFromMask: Pass<v.GenericSchema<CustomOptions>> = definePass({
  id: "custom-from-mask",
  summary: "Apply a given mask",
  options: customSchema,
  run: (model, options) =>
    maskEach(model, options, (target, mask) => {
      const { name } = target.layer;
      const chosen = readTarget(options.mask, target);
      if (chosen === undefined) throw new PithError("E_OPTION", `custom-from-mask: "mask" has no entry for "${name}".`);
      checkSameDims("A mask", chosen.dims, target.parameter);
      const keepFlags = toFloat64(chosen);
      if (keepFlags.some((entry) => entry !== 0 && entry !== 1))
        throw new PithError("E_OPTION", `custom-from-mask: the mask for "${name}": expected only 0 and 1.`);
      return intersect(mask, Uint8Array.from(keepFlags));
    }),
});

/** Adds a mask of ones, as PyTorch's `prune.identity`. */
export const identity: Pass<v.GenericSchema<ParameterSelection>> = definePass({
  id: "identity",
  summary: "Add masks of ones to the weights: nothing is pruned yet",
  options: v.strictObject(targetEntries),
  run: (model, options) => maskEach(model, options, (_, mask) => mask),
});

function channelAxis(parameter: Value, axis: number): number {
  const { dims } = stored(parameter);
  const name = `"${nameBeforeMasking(parameter)}"`;
  if (dims.length < 2)
    throw new PithError("E_SHAPE_MISMATCH", `Channels of ${name}: expected at least 2 axes, got [${dims.join(", ")}].`);
  if (axis >= dims.length || axis < -dims.length)
    throw new PithError("E_OPTION", `"dim" of ${name}: expected an axis from 0 to ${dims.length - 1}, got ${axis}.`);
  return axis < 0 ? axis + dims.length : axis;
}
