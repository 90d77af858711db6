/** Determines from the graph which channels of a layer can be removed, and which ranks make it smaller (`pith inspect`). */
import type { Group, Layer } from "#analysis";
import { checkWeight, weightNeeds, weightShape } from "#analysis";
import { fixedDims, type Miss, type Value } from "#ir";
import { largestRankThatSaves } from "../../core/math/rank.ts";

export interface RemovableChannels {
  readonly cuttable: number;
  readonly cuttableInputs: number;
  readonly kept: Miss | undefined;
}

export function channelFinder(groups: readonly Group[]): (layer: Layer) => RemovableChannels {
  const slicesByAxis = new Map<string, { readonly unitOf: Int32Array; readonly refused: Group["refused"] }>();
  const keyOf = (value: Value, axis: number): string => `${axis} ${value.name}`;
  for (const { slices, refused } of groups) {
    for (const { value, axis, unitOf } of slices) {
      const key = keyOf(value, axis);
      if (!slicesByAxis.has(key)) slicesByAxis.set(key, { unitOf, refused });
    }
  }
  const along = (value: Value, axis: number) => {
    const { unitOf = [], refused } = slicesByAxis.get(keyOf(value, axis)) ?? {};
    const units = [...unitOf];
    const [kept] = units.flatMap((unit) => refused?.get(unit) ?? []);
    return { removable: units.filter((unit) => unit >= 0 && refused?.has(unit) !== true).length, kept };
  };
  return ({ effective, role }) => {
    const { removable: cuttable, kept } = along(effective, role.out);
    return { cuttable, cuttableInputs: along(effective, role.in).removable, kept };
  };
}

/** Returns the maximum rank whose two factors save bytes; 0 if none does, undefined if `factorize` skips the layer. */
export function payingRank(layer: Layer): number | undefined {
  if (checkWeight(layer, weightNeeds.factorize) !== undefined) return undefined;
  const { outputs, inputs, taps } = weightShape(layer.role, fixedDims(layer.effective.type?.dims) ?? []);
  return largestRankThatSaves(outputs, inputs * taps);
}
