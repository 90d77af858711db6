/** Determines from the graph alone what each technique could do with a layer, and why not. */
import type { Group } from "../../core/analysis/channels.ts";
import type { Inference } from "../../core/analysis/infer.ts";
import type { Layer } from "../../core/analysis/layers.ts";
import { requireStored, requireWeight, weightNeeds, weightShape } from "../../core/analysis/weight.ts";
import { formatReason, Miss } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import { largestRankThatSaves } from "../../core/math/index.ts";
import { integer } from "../../core/numbers.ts";
import { fixedDims } from "../../core/tensor/dims.ts";

export interface Offer {
  readonly technique: string;
  readonly text: string;
  /** The technique skips the layer; the text says why. */
  readonly refused: boolean;
}

export interface Channels {
  readonly cuttable: number;
  readonly kept: Miss | undefined;
}

export function channelsIn(groups: readonly Group[]): (layer: Layer) => Channels {
  const found = new Map<string, { readonly unitOf: Int32Array; readonly refused: Group["refused"] }>();
  const key = (value: Value, axis: number): string => `${axis} ${value.name}`;
  for (const { slices, refused } of groups) {
    for (const { value, axis, unitOf } of slices) {
      const place = key(value, axis);
      if (!found.has(place)) found.set(place, { unitOf, refused });
    }
  }
  return ({ effective, role }) => {
    const { unitOf = [], refused } = found.get(key(effective, role.out)) ?? {};
    const units = [...unitOf];
    const [first] = units.flatMap((unit) => refused?.get(unit) ?? []);
    return {
      cuttable: units.filter((unit) => unit >= 0 && refused?.has(unit) !== true).length,
      kept: first,
    };
  };
}

/** Maximum rank at which two factors of the matrix (outputs × inputs · taps) are smaller; 0 if none is, undefined if `factorize` skips the layer. */
export function payingRank(layer: Layer): number | undefined {
  if (requireWeight(layer, weightNeeds.factorize) !== undefined) return undefined;
  const { outputs, inputs, taps } = weightShape(layer.role, fixedDims(layer.effective.type?.dims) ?? []);
  return largestRankThatSaves(outputs, inputs * taps);
}

/** One line per technique. Effects that depend on weight values are not predicted. */
export function offersOf(
  layer: Layer,
  channels: Channels,
  inference: Inference,
  learned: ReadonlySet<Value>,
): readonly Offer[] {
  return [pruning(layer, learned), cutting(layer, channels), quantizing(layer, inference), factorizing(layer)];
}

function pruning({ weight }: Layer, learned: ReadonlySet<Value>): Offer {
  const miss = requireStored(weight, { ...weightNeeds.prune, learned });
  return { technique: "prune", text: miss?.reason ?? "any weight can become zero", refused: miss !== undefined };
}

function cutting(layer: Layer, { cuttable, kept }: Channels): Offer {
  const technique = "prune --structured";
  const why = kept === undefined ? undefined : formatReason(kept);
  if (cuttable === 0) return { technique, text: why ?? "its channels are not known", refused: true };
  const rest = why === undefined ? "" : `; not the others: ${why}`;
  return {
    technique,
    text: `${integer(cuttable)} of ${integer(layer.outputs)} channels can be removed${rest}`,
    refused: false,
  };
}

function quantizing(layer: Layer, inference: Inference): Offer {
  const technique = "quantize";
  const miss = requireWeight(layer, weightNeeds.quantize);
  if (miss !== undefined) return { technique, text: miss.reason, refused: true };
  const bound = inference.at(layer.node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  const type = layer.effective.type?.type;
  const alone = rule instanceof Miss ? rule.reason : type === "float32" ? undefined : `it computes in ${type}`;
  const text = alone === undefined ? "weight and activations to 8 bits" : `its weight alone: ${alone}`;
  return { technique, text, refused: false };
}

function factorizing(layer: Layer): Offer {
  const technique = "factorize";
  const miss = requireWeight(layer, weightNeeds.factorize);
  if (miss !== undefined) return { technique, text: miss.reason, refused: true };
  const rank = payingRank(layer) ?? 0;
  const text = rank === 0 ? "no rank makes it smaller" : `saves up to rank ${integer(rank)}`;
  return { technique, text, refused: rank === 0 };
}
