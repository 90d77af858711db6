/** Describes pruned channel groups in changes and skipped layers. */
import { type Group, outputSliceOf } from "#analysis";
import { counted, groupBy, Miss, roundHalfEven } from "#ir";
import type { Change, Outcome } from "#pass";
import type { Remainder } from "./amounts.ts";
import type { UnitChoice } from "./choose-units.ts";
export function unitsTextOf(group: Group): string {
  const layers = group.layers.map((layer) => outputSliceOf(group, layer)?.unitOf ?? new Int32Array());
  const [widest = new Int32Array()] = layers.sort((a, b) => b.length - a.length);
  return unitsText(group.units, widest);
}

/** Returns "8 channels" or "2 units of 4 channels". A unit can be an attention head, or the same position in each head. */
function unitsText(units: number, unitOf: Int32Array): string {
  if (unitOf.length <= units) return counted(units, "channel");
  const channelsPerUnit = unitOf.length / units;
  const isEven = [...groupBy(unitOf, (unit) => unit).values()].every((channels) => channels.length === channelsPerUnit);
  return `${counted(units, "unit")} of ${isEven ? channelsPerUnit : "several"} channels`;
}

/** Returns a Miss with the same reason for each layer. @param blocker the layer or node that prevents the removal. */
export function missesOf({ layers }: Pick<Group, "layers">, reason: string, blocker?: string): readonly Miss[] {
  const names = [...new Set(layers.map((layer) => layer.name))];
  return names.map((name) => new Miss(reason, name, undefined, blocker === name ? undefined : blocker));
}

/** Returns each layer once, with the number of its output channels that remain after a choice. */
export const channelsLeft = (choice: UnitChoice): readonly Remainder[] =>
  cutLayers(choice).map(({ layer, unitOf, count }) => ({
    name: layer.name,
    left: unitOf.length - count,
    size: unitOf.length,
  }));

/** Returns a line for each layer that loses channels. */
export function changesOf(choice: UnitChoice, decidedBy: Change["decidedBy"]): Outcome["changes"] {
  const { group, units } = choice;
  const removed = new Set(units);
  return cutLayers(choice).map(({ layer, unitOf, count }) => {
    const removable = unitOf.filter((unit) => unit >= 0);
    const layerUnits = new Set(removable);
    const isGroupShare = count === roundHalfEven((units.length / group.units) * unitOf.length);
    const needsNoDetail = group.units === unitOf.length || (group.units > unitOf.length && isGroupShare);
    const detail =
      layerUnits.size < removable.length
        ? ` (${[...layerUnits].filter((unit) => removed.has(unit)).length} of ${unitsText(layerUnits.size, removable)})`
        : needsNoDetail
          ? ""
          : ` (${units.length} of ${group.units} in its group of coupled layers)`;
    return { at: layer.name, what: `${count} of ${unitOf.length} channels cut${detail}`, decidedBy };
  });
}

function cutLayers({ group, units }: UnitChoice) {
  const removedUnits = new Set(units);
  const visited = new Set<string>();
  return group.layers.flatMap((layer) => {
    const unitOf = outputSliceOf(group, layer)?.unitOf;
    if (unitOf === undefined || visited.has(layer.name)) return [];
    visited.add(layer.name);
    const count = unitOf.reduce((sum, unit) => sum + (removedUnits.has(unit) ? 1 : 0), 0);
    return count === 0 ? [] : [{ layer, unitOf, count }];
  });
}
