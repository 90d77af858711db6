/** Structured pruning: which channels go, in which order, and what keeps the others. */
import { ofStatistics } from "../analysis/channel-links.ts";
import { type ChannelOptions, channelGroups, type Group, outputsOf, removable } from "../analysis/channels.ts";
import { cut, refusesCut } from "../analysis/cut.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { isNamed, ownOptions, type Selection, selectLayers } from "../analysis/selection.ts";
import { Miss, PithError, reasonText } from "../errors.ts";
import { counted } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import { freeChannels } from "../passes/free-channels.ts";
import { type Change, type Context, completeContext, type Outcome } from "../passes/pass.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { groupBy } from "../tensor/group-by.ts";
import { roundHalfEven } from "../tensor/round.ts";
import type { ChannelScope } from "./allocations/index.ts";
import { byNorm, type UnitScorer, unitScorerOf } from "./channel-scores.ts";
import {
  allocateGlobal,
  allocateIsomorphic,
  allocateUniform,
  type Choice,
  removalOrder,
  type ScoredGroup,
} from "./choose-units.ts";
import type { CostBound, Reached } from "./cost-bound.ts";
import { byMagnitude, type ScoringOptions } from "./importance.ts";

type Eligibility = Selection & ChannelOptions;

interface Ranking extends Eligibility, ScoringOptions {
  /** Channels are ranked by the sum of |score| (1) or of its squares (2). */
  readonly norm: 1 | 2;
}

interface Options extends Ranking {
  /** Undefined where a bound decides. */
  readonly amount: number | undefined;
  readonly bound: CostBound;
  readonly roundTo?: number | undefined;
  readonly scope: ChannelScope;
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
}

type AmountOptions = Omit<Options, "amount"> & { readonly amount: number };

/** What goes of a group: as little as one of its layers is given by itself, since they go together. */
function amountOf(
  { layers }: Group,
  given: AmountOptions,
): { readonly amount: number; readonly decidedBy: Change["decidedBy"] } {
  const own = layers.map((layer) => ownOptions(given, layer)).filter(({ decidedBy }) => decidedBy !== "global");
  const [least] = own.toSorted((a, b) => a.own.amount - b.own.amount);
  return { amount: least?.own.amount ?? given.amount, decidedBy: least?.decidedBy ?? "global" };
}

/** A layer's channels, in the order in which they are cut. */
export interface CutOrder {
  /** Units of its group: an amount is a share of them. */
  readonly units: number;
  /** For each output channel how many units of its group go before it; undefined for those that stay whatever the amount. */
  readonly places: readonly (number | undefined)[];
}

/**
 * In which order `prune` cuts the channels of each layer, by the name of the layer, where any can go: for the amount a the first
 * round(a · units) of them go, halves rounded to even. Reads every weight once.
 * @param model with free channels (`freeChannels`).
 * @param groups of this very model (`channelGroups`).
 */
export async function cutOrders(
  model: Model,
  groups: readonly Group[],
  context?: Partial<Context>,
): Promise<ReadonlyMap<string, CutOrder>> {
  const cuttable = groups.filter((group) => removable(group).length > 0);
  const { engine } = completeContext(context);
  const { scored } = await scoresOf(cuttable, byNorm(model, byMagnitude, 2, engine));
  const orders = new Map<string, CutOrder>();
  for (const one of scored) {
    const { group } = one;
    const places = new Map(removalOrder(one).map((unit, place) => [unit, place]));
    for (const layer of group.layers) {
      const unitOf = outputsOf(group, layer)?.unitOf;
      if (unitOf === undefined || orders.has(layer.name)) continue;
      const own = Array.from(unitOf, (unit) => places.get(unit));
      if (own.some((place) => place !== undefined)) orders.set(layer.name, { units: group.units, places: own });
    }
  }
  return orders;
}

export async function pruneStructured(model: Model, given: Options, context: Context): Promise<Outcome> {
  storeWeights(model);
  await freeChannels(model, (one) => freeUnits(one, given), context);
  return cutWeakest(model, given, context);
}

function freeUnits(model: Model, given: Eligibility): number {
  return eligible(model, infer(model), given).groups.reduce((sum, group) => sum + removable(group).length, 0);
}

async function cutWeakest(model: Model, options: Options, context: Context): Promise<Outcome> {
  const { scored, misses } = await ranked(model, options, context);
  const choose = (amount: number, roundTo: number): readonly Choice[] =>
    options.scope !== "uniform"
      ? (options.scope === "global" ? allocateGlobal : allocateIsomorphic)(scored, amount, roundTo)
      : allocateUniform(scored, (group) => amountOf(group, { ...options, amount }).amount, roundTo);
  const { amount, roundTo } = await decided(model, options, choose, context);
  const given = { ...options, amount, roundTo };
  const chosen = choose(amount, roundTo);
  const { removals, refused } = withoutRefused(
    model,
    chosen.filter(({ units }) => units.length > 0),
  );
  const untouched = chosen.flatMap(({ group, units }) =>
    units.length > 0 ? [] : missesOf(group, noneChosen(group, given)),
  );
  const stays = [...misses, ...untouched, ...refused];
  if (removals.length > 0) {
    const failed = await cut(model, removals);
    if (failed instanceof Miss) return { changes: [], misses: [...stays, failed] };
  }
  const changes = removals.flatMap((removal) => changesOf(removal, amountOf(removal.group, given).decidedBy));
  return { changes, misses: stays };
}

/**
 * How many channels ONNX Runtime convolves at once, and parts of that. With half of its multiply-accumulates left, MobileNetV2 is 1.8 times as fast in multiples
 * of 16, and 0.6 times otherwise.
 */
const widths = [16, 8, 4];

/** As it is given, or what keeps the bound: in the widest multiples without which little more has to go. */
async function decided(
  model: Model,
  { amount, bound, roundTo }: Options,
  choose: (amount: number, roundTo: number) => readonly Choice[],
  context: Context,
): Promise<{ readonly amount: number; readonly roundTo: number }> {
  if (amount !== undefined) return { amount, roundTo: roundTo ?? 1 };
  // It measures times, for which it reads data.
  const { amountFor } = await import("./cost-bound.ts");
  const reached = (multiple: number) =>
    amountFor(bound, model, (share) => withoutRefused(model, choose(share, multiple)).removals, context);
  if (roundTo !== undefined) return logged(await reached(roundTo), roundTo, context);
  for (const multiple of widths) {
    const found = await reached(multiple).catch((error: unknown) => {
      if (error instanceof PithError && error.code === "E_OPTION") return undefined;
      throw error;
    });
    if (found?.near === true) return logged(found, multiple, context);
  }
  return logged(await reached(1), 1, context);
}

function logged(
  { amount, text }: Reached,
  roundTo: number,
  { log }: Context,
): { readonly amount: number; readonly roundTo: number } {
  log({ id: "target", text: roundTo === 1 ? text : `${text}, in multiples of ${roundTo} channels` });
  return { amount, roundTo };
}

/** Why of a group that could be cut nothing goes. */
function noneChosen(group: Group, { scope, roundTo = 1, ...given }: AmountOptions): string {
  const { amount } = amountOf(group, { scope, ...given });
  const share = `${Number((100 * amount).toPrecision(3))} %`;
  if (scope !== "uniform") {
    const ranked = scope === "global" ? "over all layers" : "over the layers of its structure";
    return roundTo === 1
      ? `none of its channels is among the ${share} with the least scores ${ranked}`
      : `too few of its channels to leave a multiple of ${roundTo} are among the ${share} with the least scores ${ranked}`;
  }
  const wanted = roundHalfEven(amount * group.units);
  const parts = partsOf(group);
  if (wanted === 0) return `${share} of its ${parts} rounds to 0`;
  return roundTo === 1
    ? "something of each axis stays"
    : `${wanted} of its ${parts} would go, too few to leave a multiple of ${roundTo} channels`;
}

function partsOf(group: Group): string {
  return partsText(group.units, Math.max(...group.layers.map((layer) => outputsOf(group, layer)?.unitOf.length ?? 0)));
}

/** "8 channels", "2 units of 4 channels": what goes as one may be a head, or the same place in each head. */
function partsText(units: number, channels: number): string {
  if (channels <= units) return counted(units, "channel");
  const each = channels / units;
  return `${counted(units, "unit")} of ${Number.isInteger(each) ? each : "several"} channels`;
}

/** Groups that can be cut, with a score for each unit; what stays, and why. */
async function ranked(
  model: Model,
  given: Ranking,
  context: Context,
): Promise<{ readonly scored: readonly ScoredGroup[]; readonly misses: readonly Miss[] }> {
  const { groups, misses } = eligible(model, infer(model), given);
  const found = await scoresOf(groups, await unitScorerOf(model, groups, given, context));
  return { scored: found.scored, misses: [...misses, ...found.misses] };
}

/** One after the other, so that memory holds the weights of one layer. */
async function scoresOf(
  groups: readonly Group[],
  scorer: UnitScorer,
): Promise<{ readonly scored: readonly ScoredGroup[]; readonly misses: readonly Miss[] }> {
  const scored: ScoredGroup[] = [];
  const misses: Miss[] = [];
  for (const group of groups) {
    const scores = await scorer(group);
    if (scores instanceof Miss)
      misses.push(...missesOf(group, `its channels have no score: ${scores.reason}`, scores.at));
    else scored.push({ group, scores });
  }
  return { scored, misses };
}

/** All of them, if they can be cut together; else those that can be cut by themselves. */
function withoutRefused(
  model: Model,
  chosen: readonly Choice[],
): { readonly removals: readonly Choice[]; readonly refused: readonly Miss[] } {
  if (refusesCut(model, chosen) === undefined) return { removals: chosen, refused: [] };
  const removals: Choice[] = [];
  const refused: Miss[] = [];
  for (const removal of chosen) {
    const miss = refusesCut(model, [removal]);
    if (miss === undefined) removals.push(removal);
    else refused.push(...missesOf(removal.group, `its channels cannot be cut: ${miss.reason}`, miss.at));
  }
  return { removals, refused };
}

/** Groups with a selected layer and none that is excepted; the reasons why others, or some of their units, stay. */
function eligible(
  model: Model,
  inference: Inference,
  given: Eligibility,
): { readonly groups: readonly Group[]; readonly misses: readonly Miss[] } {
  const all = layersOf(model, inference);
  const selected = new Set(selectLayers(all, given).map((layer) => layer.node));
  const groups: Group[] = [];
  const misses: Miss[] = given.layers === undefined ? [...noLayers(model, inference, all)] : [];
  const found = channelGroups(model, inference, given);
  for (const layer of selectLayers(all, given)) {
    if (layer.role.kind !== "lookup") continue;
    if (!found.some((group) => removable(group).length > 0 && outputsOf(group, layer) !== undefined))
      misses.push(
        new Miss("its columns are not tied to the channels of a layer, so none is cut with them", layer.name),
      );
  }
  for (const group of found) {
    if (!group.layers.some((layer) => selected.has(layer.node))) continue;
    const kept = group.layers.find(({ name }) => isNamed(given.except, name));
    if (kept !== undefined) {
      const together = `its channels can only be removed together with those of "${kept.name}", which is excluded`;
      misses.push(...missesOf(group, together).filter(({ at }) => !isNamed(given.except, at ?? "")));
      continue;
    }
    for (const refused of groupBy(group.refused.values(), reasonText).values()) {
      const [{ reason, at, kind }] = refused;
      const which = refused.length === group.units ? "its channels" : `${refused.length} of its ${partsOf(group)}`;
      const remedy = kind === ofStatistics ? "; `pith prune --through-norms` cuts through it" : "";
      misses.push(...missesOf(group, `${which} cannot be cut: ${reason}${remedy}`, at));
    }
    if (removable(group).length > 0) groups.push(group);
  }
  return { groups, misses };
}

/** The same of each layer. @param by What stands in the way. */
function missesOf({ layers }: Group, reason: string, by?: string): readonly Miss[] {
  const names = [...new Set(layers.map((layer) => layer.name))];
  return names.map((name) => new Miss(reason, name, undefined, by === name ? undefined : by));
}

/**
 * A line for every layer that loses output channels, and, where its share is not that of its group, the group's: of units of several channels, or
 * of a group with more channels, as a residual stream has beside its narrow end.
 */
function changesOf({ group, units }: Choice, decidedBy: Change["decidedBy"]): Outcome["changes"] {
  const gone = new Set(units);
  const seen = new Set<string>();
  return group.layers.flatMap((layer) => {
    const unitOf = outputsOf(group, layer)?.unitOf;
    if (unitOf === undefined || seen.has(layer.name)) return [];
    seen.add(layer.name);
    const count = unitOf.reduce((sum, unit) => sum + (gone.has(unit) ? 1 : 0), 0);
    if (count === 0) return [];
    const isShare = count === roundHalfEven((units.length / group.units) * unitOf.length);
    const isPlain = group.units === unitOf.length || (group.units > unitOf.length && isShare);
    const all =
      group.units < unitOf.length
        ? partsText(group.units, unitOf.length)
        : `${group.units} in its group of coupled layers`;
    const what = `${count} of ${unitOf.length} channels cut${isPlain ? "" : ` (${units.length} of ${all})`}`;
    return [{ at: layer.name, what, decidedBy }];
  });
}
