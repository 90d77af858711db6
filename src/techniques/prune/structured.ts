/** Prunes channels: ranks the groups' units, chooses those to remove, and removes them from the graph. */
import type { ChannelOptions, FreeCounts, Group, Layer, Selection } from "#analysis";
import {
  channelGroups,
  countFree,
  excludesLayer,
  freeUnits,
  hasStatistics,
  infer,
  layers as layersOf,
  optionsOfLayer,
  outputSliceOf,
  removeChannels,
  selectLayers,
  unsupportedWeights,
  whyNotRemovable,
} from "#analysis";
import { formatReason, groupBy, Miss, type Model, optionError, roundHalfEven } from "#ir";
import type { Context, Outcome } from "#pass";
import { freeChannels } from "../../rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { answerOf } from "../shared/methods.ts";
import type { Allocation } from "./allocation.ts";
import { global, isomorphic } from "./allocations.ts";
import { warnOfNarrowLayers } from "./amounts.ts";
import { defaultUnitScorer, scoreGroups, type UnitScorer } from "./channel-scores.ts";
import {
  chooseUnits,
  finestMultiple,
  multipleOf,
  type RankedSet,
  rankedSets,
  roundToMultiples,
  type UnitChoice,
} from "./choose-units.ts";
import type { CostBound } from "./cost-bound.ts";
import { taylor } from "./criteria.ts";
import type { ScoringOptions } from "./importance.ts";
import { changesOf, channelsLeft, missesOf, unitsTextOf } from "./removal-texts.ts";

export interface SpreadOptions {
  /** Default: "isomorphic". */
  readonly scope?: Allocation | undefined;
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
  /** The largest share of a layer's channels that may be removed, unless an override sets the amount of the layer. */
  readonly maxLayerAmount?: number | undefined;
  /** The layers by name before the graph was rewritten, which can change their operators: patterns refer to these. */
  readonly original?: ReadonlyMap<string, Layer>;
}

interface Options extends Omit<Selection, "overrides">, ChannelOptions, ScoringOptions, SpreadOptions {
  /** The share of the channels to remove, or a cost bound from which the share is computed. */
  readonly amount: number | CostBound;
  readonly roundTo?: number | undefined;
}

/** Returns the amount for a group: the smallest override of its layers, because the layers lose the same channels. */
function amountOf({ layers }: Group, { overrides, original }: SpreadOptions, amount: number) {
  const all = layers.map((layer) => optionsOfLayer({ overrides, amount }, original?.get(layer.name) ?? layer));
  const [smallestOverride] = all
    .filter(({ decidedBy }) => decidedBy !== "global")
    .sort((a, b) => a.options.amount - b.options.amount);
  return { amount: smallestOverride?.options.amount ?? amount, decidedBy: smallestOverride?.decidedBy ?? "global" };
}

const isOverridden = (group: Group, options: SpreadOptions): boolean =>
  amountOf(group, options, Number.NaN).decidedBy !== "global";

/** Ranks the channels of groups. A group with an override is ranked alone, outside the allocation. */
export async function rankChannels(
  groups: readonly Group[],
  scorer: UnitScorer,
  options: SpreadOptions,
): Promise<{ readonly sets: readonly RankedSet[]; readonly misses: readonly Miss[] }> {
  const { scored, misses } = await scoreGroups(groups, scorer);
  const { scope = isomorphic, maxLayerAmount = 1 } = options;
  const sets = rankedSets(scored, {
    rankingKey: (group) =>
      isOverridden(group, options) ? group : answerOf(`The allocation "${scope.id}"`, () => scope.together?.(group)),
    maxShareOf: (group) => (isOverridden(group, options) ? 1 : maxLayerAmount),
  });
  return { sets, misses };
}

/** @param requested without a scope, channels are ranked by `scorePerCost` for a cost bound and Taylor scores. */
export async function pruneStructured(model: Model, requested: Options, context: Context): Promise<Outcome> {
  storeWeights(model);
  const original = new Map(layersOf(model, infer(model)).map((layer) => [layer.name, layer]));
  const selected = new Set(selectLayers([...original.values()], requested).map(({ name }) => name));
  const freeGroups = (copy: Model, choice: ChannelOptions, freed?: ReadonlyMap<string, number>) =>
    freeChannels(copy, (form) => findEligible(form, selected, { ...requested, ...choice, original }, freed), context);
  const isHelped = requested.throughNorms !== true && hasStatistics(model, infer(model));
  const helped = isHelped ? (await freeGroups(model.clone(), { throughNorms: true })).groups : [];
  const freed = helped.flatMap((group) => group.layers.map(({ name }) => [name, freeUnits(group).length] as const));
  const { groups, misses } = await freeGroups(model, {}, new Map(freed));
  const { scorer, criterion } = await defaultUnitScorer(model, groups, requested, context);
  const { scope, amount: bound } = requested;
  const isPerCost = scope === undefined && typeof bound !== "number" && criterion === taylor;
  const options: Options = { ...requested, scope: isPerCost ? global : scope, original };
  const unitScorer = isPerCost ? (await import("./score-per-cost.ts")).scorePerCost(scorer, bound, model) : scorer;
  const ranking = await rankChannels(groups, unitScorer, options);
  const { amount, sets } = await decideAmount(model, ranking.sets, options, context);
  const choices = choicesOf(sets, amount, options);
  const { removals, refusals } = selectRemovable(
    model,
    choices.filter(({ units }) => units.length > 0),
  );
  const unchosen = choices.flatMap(({ group, units }) =>
    units.length > 0 ? [] : missesOf(group, explainNoneChosen(group, ranking.sets, options, amount)),
  );
  // If nothing is removed, the first reason is quoted alone: an amount that is too small, which the user can change.
  const allMisses = [...unchosen, ...misses, ...ranking.misses, ...refusals];
  if (removals.length === 0 && ranking.sets.length > 0) {
    const text = "the amount removes no channel: a larger one, or `roundTo` 1, can remove some";
    context.log({ id: "amount", text, level: "warning" });
  }
  if (removals.length > 0) {
    const failure = await removeChannels(model, removals);
    if (failure instanceof Miss) return { changes: [], misses: [...allMisses, failure] };
  }
  const allocatedRemovals = removals.filter(({ group }) => !isOverridden(group, options));
  warnOfNarrowLayers(allocatedRemovals.flatMap(channelsLeft), amount, "channels", context);
  const changes = removals.flatMap((removal) => changesOf(removal, amountOf(removal.group, options, amount).decidedBy));
  return { changes, misses: allMisses };
}

function choicesOf(sets: readonly RankedSet[], amount: number, options: SpreadOptions): readonly UnitChoice[] {
  return sets.flatMap((set) => {
    const [group] = set.groups;
    return group === undefined ? [] : chooseUnits(set, amountOf(group, options, amount).amount);
  });
}

/** Shares of the cost bound. Finer multiples are tried if the cost is below the first; a warning is printed if it is below the second. */
const [retryBelow, warnBelow] = [0.85, 0.9];

/** Returns the requested amount, or the smallest within the cost bound. @throws PithError E_OPTION if no amount is within the bound. */
async function decideAmount(
  model: Model,
  unroundedSets: readonly RankedSet[],
  options: Options,
  context: Context,
): Promise<{ readonly amount: number; readonly sets: readonly RankedSet[] }> {
  const { amount, roundTo, data } = options;
  const roundSets = (multiple: number | undefined) => unroundedSets.map((set) => roundToMultiples(set, multiple));
  if (typeof amount === "number") return { amount, sets: roundSets(roundTo) };
  const { amountFor } = await import("./cost-bound.ts");
  const multiples = roundTo === undefined ? [undefined, finestMultiple, 1] : [roundTo];
  for (const multiple of multiples) {
    const sets = roundSets(multiple);
    const removals = (share: number) => selectRemovable(model, choicesOf(sets, share, options)).removals;
    const result = await amountFor(amount, model, removals, context, data);
    if (multiple !== multiples.at(-1) && (result instanceof Miss || result.cost < retryBelow)) continue;
    if (result instanceof Miss)
      throw optionError(`${result.reason}.`, {
        hint: "Use a smaller `roundTo`, a larger `maxLayerAmount`, `throughNorms`, or fewer layers in `except`.",
      });
    context.log({ id: "target", text: result.text });
    if (result.cost < warnBelow && multiple !== 1) {
      const text =
        "whole multiples of channels remove more than that. `roundTo` 1 comes closer, but is often no faster";
      context.log({ id: "target", text, level: "warning" });
    }
    return { amount: result.amount, sets };
  }
  throw new Error("internal: no multiple was tried");
}

/** Returns why an amount removes no channel of a group. @param ranked sets before they are rounded to multiples. */
function explainNoneChosen(group: Group, ranked: readonly RankedSet[], options: Options, passAmount: number): string {
  const { amount } = amountOf(group, options, passAmount);
  const set = ranked.find(({ groups }) => groups.includes(group));
  const first = set?.order.find((unit) => unit.group === group);
  if (set === undefined || first === undefined)
    return options.maxLayerAmount === undefined
      ? "an axis would have no channel left"
      : "any of its channels is more than `maxLayerAmount`";
  const share = `${Number((100 * amount).toPrecision(3))} %`;
  const count = roundHalfEven(amount * set.total);
  // The channels of a residual stream are those of its widest layer.
  const parts = `${group.layers.length > 1 ? "the group's" : "its"} ${unitsTextOf(group)}`;
  const multiple = multipleOf(group, options.roundTo);
  const { over = "the layers that are ranked with it" } = options.scope ?? isomorphic;
  if (set.groups.length > 1)
    return first.position < count
      ? `channels are removed in blocks of ${multiple}, and less than half of a block is among the lowest-scoring ${share} of ${over}`
      : `no channel is among the lowest-scoring ${share} of ${over}`;
  if (count === 0) return `${share} of ${parts} rounds to 0`;
  if (options.maxLayerAmount !== undefined && count >= multiple)
    return `\`maxLayerAmount\` permits less than half of a block of ${multiple} channels`;
  return first.position < count
    ? `${share} of ${parts} is less than half of a block of ${multiple} channels`
    : `${share} of ${parts} is less than half of the first one`;
}

/** Returns all choices if they can be removed jointly; otherwise the choices that can be removed individually. */
function selectRemovable(
  model: Model,
  choices: readonly UnitChoice[],
): { readonly removals: readonly UnitChoice[]; readonly refusals: readonly Miss[] } {
  if (whyNotRemovable(model, choices) === undefined) return { removals: choices, refusals: [] };
  const removals: UnitChoice[] = [];
  const refusals: Miss[] = [];
  for (const removal of choices) {
    const miss = whyNotRemovable(model, [removal]);
    if (miss === undefined) removals.push(removal);
    else refusals.push(...missesOf(removal.group, `the channels cannot be removed: ${miss.reason}`, miss.at));
  }
  return { removals, refusals };
}

/** Returns the groups to prune, and why selected layers in other groups are kept. @param freedCounts numbers of units by layer that `throughNorms` can remove. */
function findEligible(
  model: Model,
  names: ReadonlySet<string>,
  options: Options,
  freedCounts: ReadonlyMap<string, number> = new Map(),
): { readonly groups: readonly Group[]; readonly misses: readonly Miss[]; readonly free: FreeCounts } {
  const inference = infer(model);
  const all = layersOf(model, inference);
  const groups: Group[] = [];
  const misses: Miss[] = options.layers === undefined ? [...unsupportedWeights(model, inference, all)] : [];
  const allGroups = channelGroups(model, inference, options);
  const tables = all.filter(({ role }) => role.kind === "lookup");
  for (const table of tables)
    if (names.has(table.name) && !allGroups.some((group) => outputSliceOf(group, table) !== undefined))
      misses.push(new Miss("its columns are not coupled to the channels of a layer", table.name));
  for (const group of allGroups) {
    if (!group.layers.some(({ name }) => names.has(name))) continue;
    const coupledLayers = [...group.layers, ...tables.filter((table) => outputSliceOf(group, table) !== undefined)];
    const kept = coupledLayers.filter((layer) => !excludesLayer(options, options.original?.get(layer.name) ?? layer));
    const excluded = coupledLayers.find((layer) => !kept.includes(layer));
    if (excluded !== undefined) {
      const reason = `the channels can only be removed together with those of "${excluded.name}", which is excluded`;
      misses.push(...missesOf({ layers: kept }, reason));
      continue;
    }
    for (const refusalsOfUnits of groupBy(group.refused.values(), formatReason).values()) {
      const [{ reason, at }] = refusalsOfUnits;
      const subject =
        refusalsOfUnits.length === group.units
          ? "the channels"
          : `${refusalsOfUnits.length} of the ${unitsTextOf(group)}`;
      const freedUnitCount = (freedCounts.get(group.layers[0]?.name ?? "") ?? 0) - freeUnits(group).length;
      const remedy = freedUnitCount < refusalsOfUnits.length ? "" : "; `prune throughNorms` allows it";
      misses.push(...missesOf({ layers: coupledLayers }, `${subject} cannot be removed: ${reason}${remedy}`, at));
    }
    if (freeUnits(group).length > 0) groups.push(group);
  }
  return { groups, misses, free: countFree(groups) };
}
