/** How much of each layer goes, where a share of all weights together is asked for. */
import type { Group } from "../../analysis/channels.ts";
import type { Layer } from "../../analysis/layers.ts";
import { type Cut, cutSmallest, type RankedEntries, type Scores } from "../../math/smallest.ts";
import { roundHalfEven } from "../../tensor/round.ts";

/** A layer among others, as an allocation is given it. */
export interface RankedLayer extends Pick<RankedEntries, "sample"> {
  readonly layer: Layer;
  /** Of its weight, as it is stored. */
  readonly dims: readonly number[];
  /** Entries that are left. */
  readonly left: number;
  /** Where it is the first or the last of all layers of the model, whichever of them are pruned. */
  readonly place: "first" | "last" | undefined;
  /** Of the entries that are left, by the criterion; read again for each call. Those of least magnitude go. */
  scores(): Promise<Scores>;
}

/**
 * How an amount is spread over layers. `shares` is for single weights: how much of each layer goes. `together` is for channels: which groups are ranked as one.
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
  /** For help. */
  readonly summary?: string;
  /** @param amount share of what is left of all of them. @returns for each layer what goes of it. */
  shares?(layers: readonly RankedLayer[], amount: number): readonly Share[] | Promise<readonly Share[]>;
  /** Groups of channels with equal answers are ranked together, and lose the amount together; one that answers with itself loses it alone. */
  together?(group: Group): unknown;
  /** What is ranked together, for reasons: "all layers". */
  readonly over?: string;
}

/** What goes of a layer: a share of what is left of it, from 0 to 1, or by a threshold that is known. */
export type Share = number | Cut;

export const total = (layers: readonly Pick<RankedLayer, "left">[]): number =>
  layers.reduce((sum, { left }) => sum + left, 0);

/** Of all layers together those entries go whose scores are least. */
export function leastOfAll(layers: readonly RankedLayer[], amount: number): Promise<readonly Cut[]> {
  return leastOf(layers, amount, ({ left, sample, scores }) => ({
    size: left,
    ...(sample === undefined ? {} : { sample }),
    mask: async () => undefined,
    scores,
  }));
}

/** The same by numbers that are made of the scores of a layer, in whatever order. */
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
