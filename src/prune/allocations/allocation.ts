/** How much of each layer goes, where a share of all weights together is asked for. */
import type { Layer } from "../../analysis/layers.ts";
import { cutSmallest, type RankedEntries, type Scores } from "../../math/smallest.ts";
import { roundHalfEven } from "../../tensor/round.ts";

/** A layer among others, as an allocation is given it. */
export interface RankedLayer extends Pick<RankedEntries, "type"> {
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
 * An allocation. Which entries of a layer go then says its pattern.
 * @example
 * import { type Allocation, prune } from "pith/prune";
 * const deeper: Allocation = {
 *   id: "deeper",
 *   shares: (layers, amount) => layers.map((_, at) => (amount * (at + 1)) / layers.length),
 * };
 * await prune(net, { amount: 0.8, scope: deeper });
 */
export interface Allocation {
  readonly id: string;
  /** For help. */
  readonly summary?: string;
  /** @param amount share of what is left of all of them. @returns for each layer the share, from 0 to 1, of what is left of it. */
  shares(layers: readonly RankedLayer[], amount: number): readonly number[] | Promise<readonly number[]>;
}

export const total = (layers: readonly Pick<RankedLayer, "left">[]): number =>
  layers.reduce((sum, { left }) => sum + left, 0);

/** Of all layers together those entries go whose scores are least, as they are or as float32 made of those of a layer, in whatever order. */
export async function leastOfAll(
  layers: readonly RankedLayer[],
  amount: number,
  comparable?: (scores: Scores) => Float32Array,
): Promise<readonly number[]> {
  const parts = layers.map(
    ({ left, type, scores }): RankedEntries => ({
      size: left,
      type: comparable === undefined ? type : "float32",
      mask: async () => undefined,
      scores: async () => (comparable === undefined ? scores() : comparable(await scores())),
    }),
  );
  const cuts = await cutSmallest(parts, roundHalfEven(amount * total(layers)));
  return cuts.map(({ gone }, at) => gone / Math.max(1, layers[at]?.left ?? 0));
}
