/** Structured pruning: so many channels go, or as many as a bound takes. */
import type { Group } from "../analysis/channels.ts";
import { cut, refusesCut } from "../analysis/cut.ts";
import { ownOptions } from "../analysis/selection.ts";
import { widestBlock } from "../analysis/uneven-channels.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { freeChannels } from "../passes/free-channels.ts";
import { answerOf } from "../passes/own-methods.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { roundHalfEven } from "../tensor/round.ts";
import type { Allocation } from "./allocations/allocation.ts";
import { scoredGroups, unitScorerOf } from "./channel-scores.ts";
import { type Choice, removalOrder, type ScoredGroup, type UnitChooser, unitChooser } from "./choose-units.ts";
import type { CostBound, Reached } from "./cost-bound.ts";
import { type Eligibility, eligible } from "./eligible-groups.ts";
import { changesOf, missesOf, partsOf } from "./group-words.ts";
import type { ScoringOptions } from "./importance.ts";

interface Options extends Eligibility, ScoringOptions {
  /** Channels are ranked by the sum of |score| (1) or of its squares (2). */
  readonly norm: 1 | 2;
  /** A share of the channels, or what decides it. */
  readonly amount: number | CostBound;
  readonly roundTo?: number | undefined;
  readonly scope: Allocation;
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
}

/** What goes of a group: as little as one of its layers is given by itself, since they go together. */
function amountOf({ layers }: Group, { overrides }: Options, amount: number) {
  const all = layers.map((layer) => ownOptions({ overrides, amount }, layer));
  const [least] = all.filter(({ decidedBy }) => decidedBy !== "global").sort((a, b) => a.own.amount - b.own.amount);
  return { amount: least?.own.amount ?? amount, decidedBy: least?.decidedBy ?? "global" };
}

export async function pruneStructured(model: Model, options: Options, context: Context): Promise<Outcome> {
  storeWeights(model);
  const { groups, misses: others } = await freeChannels(model, (one) => eligible(one, options), context);
  const { scored, misses: unscored } = await scoredGroups(groups, await unitScorerOf(model, groups, options, context));
  const { scope } = options;
  const together = (group: Group): unknown => answerOf(`The allocation "${scope.id}"`, () => scope.together?.(group));
  const choose = unitChooser(scored, together, (group, amount) => amountOf(group, options, amount).amount);
  const { amount, roundTo } = await decided(model, options, choose, context);
  const chosen = choose(amount, roundTo);
  const { removals, refused } = withoutRefused(
    model,
    chosen.filter(({ units }) => units.length > 0),
  );
  const untouched = chosen.flatMap(({ group, units }) =>
    units.length > 0 ? [] : missesOf(group, noneChosen(group, options, { amount, roundTo }, scored)),
  );
  const stays = [...others, ...unscored, ...untouched, ...refused];
  if (removals.length > 0) {
    const failed = await cut(model, removals);
    if (failed instanceof Miss) return { changes: [], misses: [...stays, failed] };
  }
  const changes = removals.flatMap((removal) => changesOf(removal, amountOf(removal.group, options, amount).decidedBy));
  return { changes, misses: stays };
}

/** With half of its multiply-accumulates left, MobileNetV2 is 1.8 times as fast in multiples of 16, and 0.6 times otherwise. */
const widths = [widestBlock, widestBlock / 2, widestBlock / 4];

interface Decided {
  readonly amount: number;
  readonly roundTo: number;
}

/**
 * The amount and the multiple of channels: those given; else, for a bound, the smallest amount that keeps it, in the largest multiple that costs little more.
 * @throws PithError E_OPTION where no amount keeps the bound.
 */
async function decided(
  model: Model,
  { amount, roundTo }: Options,
  choose: UnitChooser,
  context: Context,
): Promise<Decided> {
  if (typeof amount === "number") return { amount, roundTo: roundTo ?? 1 };
  // It measures times, for which it reads data.
  const { amountFor } = await import("./cost-bound.ts");
  const reached = (multiple: number) =>
    amountFor(amount, model, (share) => withoutRefused(model, choose(share, multiple)).removals, context);
  for (const multiple of roundTo === undefined ? widths : []) {
    const found = await reached(multiple);
    if (!(found instanceof Miss) && found.near) return logged(found, multiple, context);
  }
  const last = roundTo ?? 1;
  const found = await reached(last);
  if (!(found instanceof Miss)) return logged(found, last, context);
  throw new PithError("E_OPTION", `${found.reason}.`, {
    hint: "More may go with a smaller `roundTo`, with `throughNorms`, and with fewer layers excepted.",
  });
}

function logged({ amount, text }: Reached, roundTo: number, { log }: Context): Decided {
  log({ id: "target", text: roundTo === 1 ? text : `${text}, in multiples of ${roundTo} channels` });
  return { amount, roundTo };
}

/** Why of a group that could be cut nothing goes. */
function noneChosen(group: Group, options: Options, given: Decided, scored: readonly ScoredGroup[]): string {
  const { amount } = amountOf(group, options, given.amount);
  const { roundTo } = given;
  const { together, over = "the layers that are ranked with it" } = options.scope;
  const share = `${Number((100 * amount).toPrecision(3))} %`;
  if (together?.(group) !== group)
    return roundTo === 1
      ? `none of its channels is among the ${share} with the least scores over ${over}`
      : `too few of its channels to leave a multiple of ${roundTo} are among the ${share} with the least scores over ${over}`;
  const wanted = roundHalfEven(amount * group.units);
  const parts = partsOf(group);
  if (wanted === 0) return `${share} of its ${parts} rounds to 0`;
  const [first] = scored.filter((one) => one.group === group).flatMap(removalOrder);
  if (first === undefined) return "something of each axis stays";
  return first.place >= wanted
    ? `${share} of its ${parts} is less than half of the one that would go first`
    : `${wanted} of its ${parts} would go, too few to leave a multiple of ${roundTo} channels`;
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
    else refused.push(...missesOf(removal.group, `its channels cannot be removed: ${miss.reason}`, miss.at));
  }
  return { removals, refused };
}
