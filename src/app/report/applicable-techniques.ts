/** Determines from the graph alone what effect each technique could have on a layer, or why the technique skips it (`pith inspect`). */
import type { Group, Inference, Layer } from "#analysis";
import { requireStored, requireWeight, weightNeeds, weightShape } from "#analysis";
import { fixedDims, formatReason, Miss, type Value } from "#ir";
import { largestRankThatSaves } from "../../core/math/rank.ts";
import { integer } from "../../core/numbers.ts";

export interface Offer {
  readonly technique: string;
  readonly text: string;
  /** Whether the technique skips the layer. `text` is then the reason. */
  readonly refused: boolean;
}

export interface Channels {
  readonly cuttable: number;
  readonly cuttableInputs: number;
  readonly kept: Miss | undefined;
}

export function channelFinder(groups: readonly Group[]): (layer: Layer) => Channels {
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

/**
 * Returns the maximum rank at which two factors of the matrix (outputs × inputs · kernel positions) save bytes; 0 if no rank saves bytes. Returns
 * undefined if `factorize` skips the layer.
 */
export function payingRank(layer: Layer): number | undefined {
  if (requireWeight(layer, weightNeeds.factorize) !== undefined) return undefined;
  const { outputs, inputs, taps } = weightShape(layer.role, fixedDims(layer.effective.type?.dims) ?? []);
  return largestRankThatSaves(outputs, inputs * taps);
}

/** Returns one line per technique. Effects that depend on the values of weights are not predicted. */
export function offersOf(
  layer: Layer,
  channels: Channels,
  inference: Inference,
  learned: ReadonlySet<Value>,
): readonly Offer[] {
  const effects: Readonly<Record<string, string | Miss>> = {
    prune: requireStored(layer.weight, { ...weightNeeds.prune, learned }) ?? "any weight can become zero",
    "prune --structured": channelEffect(layer, channels),
    quantize: requireWeight(layer, weightNeeds.quantize) ?? quantizeEffect(layer, inference),
    factorize: requireWeight(layer, weightNeeds.factorize) ?? factorizeEffect(layer),
  };
  return Object.entries(effects).map(([technique, effect]) => {
    const refused = effect instanceof Miss;
    return { technique, text: refused ? effect.reason : effect, refused };
  });
}

function channelEffect({ outputs }: Layer, { cuttable, kept }: Channels): string | Miss {
  const reason = kept && formatReason(kept);
  if (cuttable === 0) return new Miss(reason ?? "its channels are not known");
  const otherText = reason === undefined ? "" : `; not the others: ${reason}`;
  return `${integer(cuttable)} of ${integer(outputs)} channels can be removed${otherText}`;
}

function quantizeEffect({ node, effective }: Layer, inference: Inference): string {
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss) return `its weight alone: ${rule.reason}`;
  const type = effective.type?.type;
  return type === "float32" ? "weight and activations to 8 bits" : `its weight alone: it computes in ${type}`;
}

function factorizeEffect(layer: Layer): string | Miss {
  const rank = payingRank(layer) ?? 0;
  return rank === 0 ? new Miss("no rank makes it smaller") : `saves up to rank ${integer(rank)}`;
}
