import type { Group } from "../../../core/analysis/channels.ts";
import type { Layer } from "../../../core/analysis/layers.ts";
import { type Cut, cutSmallest, type RankedEntries, type Scores } from "../../../core/math/smallest.ts";
import { roundHalfEven } from "../../../core/tensor/round.ts";

/** A layer as an allocation receives it. */
export interface RankedLayer extends Pick<RankedEntries, "sample"> {
  readonly layer: Layer;
  /** Shape of the stored weight. */
  readonly dims: readonly number[];
  readonly left: number;
  /** Whether the layer is the first or last of the whole model. */
  readonly place: "first" | "last" | undefined;
  /** Reads the scores of the remaining entries by the criterion; entries with the smallest magnitude are pruned. */
  scores(): Promise<Scores>;
}

/**
 * Distributes an amount over layers. `shares` is for single weights: the share of each layer. `together` is for channels: the
 * groups that are ranked together.
 * @example
 * import { type Allocation, prune } from "pith/prune";
 * const deeper: Allocation = {
 *   id: "deeper",
 *   shares: (layers, amount) => layers.map((_, at) => (amount * (at + 1)) / layers.length),
 *   together: (group) => group.layers[0]?.outputs, // those of equally many channels
 * };
 * await prune(net, { amount: 0.8, scope: deeper });
 * await prune(net, { structured: 0.5, scope: deeper });
 */
export interface Allocation {
  readonly id: string;
  readonly summary?: string;
  /** @param amount share of all remaining entries. @returns the share of each layer. */
  shares?(layers: readonly RankedLayer[], amount: number): readonly Share[] | Promise<readonly Share[]>;
  /** Groups with equal results are ranked together and lose the amount together; a group that is returned itself is ranked alone. */
  together?(group: Group): unknown;
  /** What is ranked together, in reasons: "all layers". */
  readonly over?: string;
}

/** A share of a layer's remaining entries, 0 to 1, or a known threshold. */
export type Share = number | Cut;

export const total = (layers: readonly Pick<RankedLayer, "left">[]): number =>
  layers.reduce((sum, { left }) => sum + left, 0);

/** Prunes the lowest scores of all layers together. */
export function leastOfAll(layers: readonly RankedLayer[], amount: number): Promise<readonly Cut[]> {
  return leastOf(layers, amount, ({ left, sample, scores }) => ({
    size: left,
    ...(sample === undefined ? {} : { sample }),
    mask: async () => undefined,
    scores,
  }));
}

/** The same with scores derived per layer, in any order. */
export async function leastRelative(
  layers: readonly RankedLayer[],
  amount: number,
  relative: (scores: Scores) => Float32Array,
): Promise<readonly number[]> {
  const cuts = await leastOf(layers, amount, ({ left, scores }) => ({
    size: left,
    mask: async () => undefined,
    scores: async () => relative(await scores()),
  }));
  return cuts.map(({ gone }, at) => gone / Math.max(1, layers[at]?.left ?? 0));
}

const leastOf = (
  layers: readonly RankedLayer[],
  amount: number,
  entriesOf: (layer: RankedLayer) => RankedEntries,
): Promise<readonly Cut[]> => cutSmallest(layers.map(entriesOf), roundHalfEven(amount * total(layers)));
