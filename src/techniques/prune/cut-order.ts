/** The order in which pruning by magnitude removes channels, and the amount from which it removes a channel. */
import { freeUnits, type Group, outputSliceOf } from "#analysis";
import { type Model, roundHalfEven } from "#ir";
import { type Context, completeContext } from "#pass";
import { scoreByNorm } from "./channel-scores.ts";
import { roundToMultiples } from "./choose-units.ts";
import { byMagnitude } from "./importance.ts";
import { rankChannels, type SpreadOptions } from "./structured.ts";
export interface CutOrder {
  /** Number of removable units in all groups that are ranked with the layer: an amount is a share of these units. */
  readonly units: number;
  /** For each output channel, the number of units removed before it; undefined if it is always kept. */
  readonly positions: readonly (number | undefined)[];
}

/**
 * Returns, by layer name, the order in which `prune` cuts channels by magnitude: an amount a removes positions below round(a · units).
 * @param model model after `freeChannels`. @param groups result of `channelGroups` for this model object.
 */
export async function cutOrders(
  model: Model,
  groups: readonly Group[],
  { roundTo, ...spread }: SpreadOptions & { readonly roundTo?: number | undefined } = {},
  context?: Partial<Context>,
): Promise<ReadonlyMap<string, CutOrder>> {
  const cuttable = groups.filter((group) => freeUnits(group).length > 0);
  const { engine } = completeContext(context);
  const { sets } = await rankChannels(cuttable, scoreByNorm(model, byMagnitude, engine), spread);
  const orders = new Map<string, CutOrder>();
  for (const set of sets) {
    const { order, total } = roundToMultiples(set, roundTo);
    for (const group of set.groups) {
      const places = new Map(
        order.filter((unit) => unit.group === group).map(({ unit, position }) => [unit, position]),
      );
      for (const layer of group.layers) {
        const unitOf = outputSliceOf(group, layer)?.unitOf;
        if (unitOf === undefined || orders.has(layer.name)) continue;
        const channelPlaces = Array.from(unitOf, (unit) => places.get(unit));
        if (channelPlaces.some((place) => place !== undefined))
          orders.set(layer.name, { units: total, positions: channelPlaces });
      }
    }
  }
  return orders;
}

const steps = 1000;

/** Returns the smallest amount, in steps of 0.1 %, that removes a channel of a layer; undefined if every amount keeps the channel. */
export function amountThatCuts({ units, positions }: CutOrder, channel: number): number | undefined {
  const place = positions[channel];
  if (place === undefined) return undefined;
  const first = Math.max(0, Math.floor((steps * place) / units) - 1);
  for (let step = first; step <= steps; step++) if (roundHalfEven((step / steps) * units) > place) return step / steps;
  return undefined;
}
