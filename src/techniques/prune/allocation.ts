/** Interface of allocations, which decide how much of an amount each layer loses: 50 % of all weights can be 80 % of one layer and 20 % of another. */
import type { Group, Layer } from "#analysis";
import type { Scores } from "../../rewrite/edit/mask.ts";
import type { CountedThreshold, RankedEntries } from "./smallest-entries.ts";

/** A layer as an allocation receives it. */
export interface RankedLayer extends Pick<RankedEntries, "sample"> {
  readonly layer: Layer;
  /** Shape of the stored weight. */
  readonly dims: readonly number[];
  /** Number of remaining entries. */
  readonly left: number;
  /** Reads the scores of the remaining entries by the criterion; entries with the smallest magnitude are pruned. */
  scores(): Promise<Scores>;
}

/**
 * Distributes an amount over layers: `shares` for individual weights, `together` for channels.
 * @example
 * import { type Allocation, prune } from "pith/prune";
 * const deeper: Allocation = {
 *   id: "deeper",
 *   shares: (layers, amount) => layers.map((_, at) => (amount * (at + 1)) / layers.length),
 *   together: (group) => group.layers[0]?.outputs, // groups with the same number of channels
 * };
 * await prune(net, { amount: 0.8, scope: deeper });
 * await prune(net, { structured: 0.5, scope: deeper });
 */
export interface Allocation {
  readonly id: string;
  readonly summary?: string;
  /** @param amount share of all remaining entries. @returns the share of each layer. */
  shares?(layers: readonly RankedLayer[], amount: number): readonly Share[] | Promise<readonly Share[]>;
  /** Returns a key. Groups with equal keys are ranked in one list, from which the amount is removed. A group that is its own key is ranked alone. */
  together?(group: Group): unknown;
  /** Name of the set that is ranked in one list, for messages: "all layers". */
  readonly over?: string;
}

/** The part of a layer to prune: a share of its remaining entries (0 to 1), or the entries below a threshold. */
export type Share = number | CountedThreshold;
