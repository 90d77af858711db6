/**
 * Which channels of a value of the original are left in the changed model. Cutting a channel of a layer cuts it wherever it goes: through
 * sums, norms and activations, to whatever reads it (`analysis/channels.ts`). So what `match.ts` knows of layers says it of every value.
 */
import { channelGroups, type Group } from "../analysis/channels.ts";
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import type { Match } from "./match.ts";

/** For a value of the original, by name: of each axis that was cut the indices that are left. */
export type Survivors = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

/** Nothing is known of channels of which no layer says which are left. */
export function survivorsOf({ original, layers: matched }: Match): Survivors {
  const survivors = new Map<string, Map<number, readonly number[]>>();
  if (matched.every(({ kept }) => kept === undefined)) return survivors;
  const inference = infer(original);
  const nodes = layers(original, inference).map(({ node }) => node);
  const keptOf = new Map(
    matched.flatMap(({ kept, counterpart }) => (kept ? [[nodes[counterpart], kept] as const] : [])),
  );
  for (const group of channelGroups(original, inference)) {
    const left = new Set(group.layers.flatMap((layer) => unitsLeft(group, layer, keptOf.get(layer.node))));
    if (left.size === 0) continue;
    for (const { value, axis, unitOf } of group.slices) {
      const axes = survivors.get(value.name) ?? new Map<number, readonly number[]>();
      survivors.set(value.name, axes);
      // Of several groups along one axis, as behind a concatenation, each says what is left of its own.
      const before = axes.get(axis) ?? Array.from(unitOf.keys());
      axes.set(
        axis,
        before.filter((index) => unitOf[index] === -1 || left.has(unitOf[index] ?? -1)),
      );
    }
  }
  return survivors;
}

function unitsLeft(
  { slices }: Group,
  { effective, role }: Group["layers"][number],
  kept: readonly number[] | undefined,
): readonly number[] {
  const own = slices.find(({ value, axis }) => value === effective && axis === role.out);
  return own === undefined || kept === undefined ? [] : kept.map((channel) => own.unitOf[channel] ?? -1);
}
