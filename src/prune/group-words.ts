/** What is said of a group of channels: how many parts it has, what was cut of its layers, why they stay. */
import { type Group, outputsOf } from "../analysis/channels.ts";
import { Miss } from "../errors.ts";
import { counted } from "../evaluate/numbers.ts";
import type { Change, Outcome } from "../passes/pass.ts";
import { groupBy } from "../tensor/group-by.ts";
import { roundHalfEven } from "../tensor/round.ts";
import type { Choice } from "./choose-units.ts";

export function partsOf(group: Group): string {
  const all = group.layers.flatMap((layer) => outputsOf(group, layer)?.unitOf ?? []);
  const widest = all.reduce((most, one) => (one.length > most.length ? one : most), new Int32Array());
  return partsText(group.units, widest);
}

/** "8 channels", "2 units of 4 channels": what goes as one may be a head, or the same place in each head. */
function partsText(units: number, unitOf: Int32Array): string {
  if (unitOf.length <= units) return counted(units, "channel");
  const each = unitOf.length / units;
  const isEven = [...groupBy(unitOf, (unit) => unit).values()].every((channels) => channels.length === each);
  return `${counted(units, "unit")} of ${isEven ? each : "several"} channels`;
}

/** The same reason of each layer. @param by What stands in the way. */
export function missesOf({ layers }: Group, reason: string, by?: string): readonly Miss[] {
  const names = [...new Set(layers.map((layer) => layer.name))];
  return names.map((name) => new Miss(reason, name, undefined, by === name ? undefined : by));
}

/**
 * A line for every layer that loses output channels, and, where its share is not that of its group, the group's, as of a residual
 * stream beside its narrow end; where units have several of its channels, how many units.
 */
export function changesOf({ group, units }: Choice, decidedBy: Change["decidedBy"]): Outcome["changes"] {
  const gone = new Set(units);
  const seen = new Set<string>();
  return group.layers.flatMap((layer) => {
    const unitOf = outputsOf(group, layer)?.unitOf;
    if (unitOf === undefined || seen.has(layer.name)) return [];
    seen.add(layer.name);
    const count = unitOf.reduce((sum, unit) => sum + (gone.has(unit) ? 1 : 0), 0);
    if (count === 0) return [];
    const own = unitOf.filter((unit) => unit >= 0);
    const parts = new Set(own);
    const isShare = count === roundHalfEven((units.length / group.units) * unitOf.length);
    const isPlain = group.units === unitOf.length || (group.units > unitOf.length && isShare);
    const of =
      parts.size < own.length
        ? ` (${[...parts].filter((unit) => gone.has(unit)).length} of ${partsText(parts.size, own)})`
        : isPlain
          ? ""
          : ` (${units.length} of ${group.units} in its group of coupled layers)`;
    const what = `${count} of ${unitOf.length} channels cut${of}`;
    return [{ at: layer.name, what, decidedBy }];
  });
}
