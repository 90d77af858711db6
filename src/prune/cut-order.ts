/** The order in which channels are cut, whatever the amount. */
import { type Group, outputsOf, removable } from "../analysis/channels.ts";
import type { Model } from "../graph/model.ts";
import { type Context, completeContext } from "../passes/pass.ts";
import { byNorm, scoredGroups } from "./channel-scores.ts";
import { removalOrder } from "./choose-units.ts";
import { byMagnitude } from "./importance.ts";

/** A layer's channels, in the order in which they are cut. */
export interface CutOrder {
  /** Units of its group: an amount is a share of them, each taken with the mean of the channels. */
  readonly units: number;
  /** For each output channel how many such units of its group go before it; undefined for those that stay whatever the amount. */
  readonly places: readonly (number | undefined)[];
}

/**
 * In which order `prune` cuts the channels of each layer, by the name of the layer, where any can go: for the amount a
 * those go whose place is less than round(a · units), halves rounded to even. Reads every weight once.
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
  const { scored } = await scoredGroups(cuttable, byNorm(model, byMagnitude, 2, engine));
  const orders = new Map<string, CutOrder>();
  for (const one of scored) {
    const { group } = one;
    const places = new Map(removalOrder(one).map(({ unit, place }) => [unit, place]));
    for (const layer of group.layers) {
      const unitOf = outputsOf(group, layer)?.unitOf;
      if (unitOf === undefined || orders.has(layer.name)) continue;
      const own = Array.from(unitOf, (unit) => places.get(unit));
      if (own.some((place) => place !== undefined)) orders.set(layer.name, { units: group.units, places: own });
    }
  }
  return orders;
}
