import type { Group } from "../../core/analysis/channels.ts";
import type { Layer } from "../../core/analysis/layers.ts";
import type { Cut, RankedEntries, Scores } from "../../core/math/smallest.ts";

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
  /** Groups with equal results are ranked together and lose the amount together; a group that is returned itself is ranked alone. */
  together?(group: Group): unknown;
  /** The set that is ranked together, in reasons: "all layers". */
  readonly over?: string;
}

/** A share of a layer's remaining entries, 0 to 1, or a known threshold. */
export type Share = number | Cut;
