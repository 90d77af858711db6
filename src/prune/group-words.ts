/** What is said of a group of channels: how many parts it has, what was cut of its layers, why they stay. */
import { type Group, outputsOf } from "../analysis/channels.ts";
import { Miss } from "../errors.ts";
import { counted } from "../evaluate/numbers.ts";
import type { Change, Outcome } from "../passes/pass.ts";
import { roundHalfEven } from "../tensor/round.ts";
import type { Choice } from "./choose-units.ts";

export function partsOf(group: Group): string {
  return partsText(group.units, Math.max(...group.layers.map((layer) => outputsOf(group, layer)?.unitOf.length ?? 0)));
}

/** "8 channels", "2 units of 4 channels": what goes as one may be a head, or the same place in each head. */
function partsText(units: number, channels: number): string {
  if (channels <= units) return counted(units, "channel");
  const each = channels / units;
  return `${counted(units, "unit")} of ${Number.isInteger(each) ? each : "several"} channels`;
}

/** The same reason of each layer. @param by What stands in the way. */
export function missesOf({ layers }: Group, reason: string, by?: string): readonly Miss[] {
  const names = [...new Set(layers.map((layer) => layer.name))];
  return names.map((name) => new Miss(reason, name, undefined, by === name ? undefined : by));
}

/**
 * A line for every layer that loses output channels, and, where its share is not that of its group, the group's: of units of several channels, or
 * of a group with more channels, as a residual stream has beside its narrow end.
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
