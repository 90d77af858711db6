/** Interface of pruning criteria: weights with the smallest |score|, or channels with the lowest score, are pruned. */
import type { Miss, Random } from "#ir";
import type { Matrix } from "../../core/math/matrix.ts";
import type { GradientStatistic } from "../../learn/train/gradient-statistic.ts";
import type { Scores } from "../../rewrite/edit/mask.ts";
import type { LayerContext } from "../calibrate/solver.ts";
import type { Statistic } from "../calibrate/statistic.ts";

export interface ScoredWeight<E = unknown> extends Omit<LayerContext<E>, "multiply"> {
  readonly dims: readonly number[];
  /** Effective values, row-major: masked entries are 0, integers are scaled. */
  readonly values: Scores;
  /** Returns the values as matrices [outputs, features], one per group. The evidence of group g starts at column g · features. */
  matrices(): readonly Matrix[];
}

/** Tensors in which channels are scored: weights that compute them, or inputs of layers that sum over them. */
export type ChannelPlace = "layers" | "activations";

export interface Channels<E = unknown> {
  readonly name: string;
  /** The elements of the tensor, row-major. Empty for activations, which are not stored. */
  readonly values: Scores;
  /** Returns the values of each channel, or those of an array with the same layout, such as gradients. */
  rows(numbers?: ArrayLike<number>): readonly Float64Array[];
  /** The statistic; gradients have the layout of the values. */
  readonly evidence: E;
}

/** The units of a group. A unit is removed as a whole: a channel of one or several layers, or several channels, such as a head. */
export interface ChannelUnits<E = unknown> {
  readonly count: number;
  /** The statistic of the gates' gradients, if the criterion requires it (`GateStatistic`). */
  readonly evidence: E;
  readonly random: Random;
  /** Returns the sum over a unit's channels, relative to the tensor's mean, averaged over tensors; a `Miss` without any. @param score of each channel. */
  mean(place: ChannelPlace, score: (channels: Channels<E>) => ArrayLike<number>): Promise<Float64Array | Miss>;
  /** Like `mean`, but sums over channels and tensors: for estimates of the loss change, which are comparable between layers. */
  sum(place: ChannelPlace, score: (channels: Channels<E>) => ArrayLike<number>): Promise<Float64Array | Miss>;
}

/** Statistic of the inputs of layers that sum over channels, one column per channel. */
export type ActivationStatistic<E> = Statistic<E> & { readonly of: "activations" };

/** Statistic of ∂loss/∂ξ per unit, where ξ = 1 multiplies it wherever a layer sums over it: −∂loss/∂ξ is the loss's first-order change without it. */
export type GateStatistic<E> = Omit<GradientStatistic<E>, "of"> & { readonly of: "gates" };

export type ChannelStatistic<E> = ActivationStatistic<E> | GateStatistic<E>;

export type Evidence<E> = Statistic<E> | GradientStatistic<E> | ChannelStatistic<E>;

export const isChannelEvidence = <E>(evidence: Evidence<E> | undefined): evidence is ChannelStatistic<E> =>
  evidence !== undefined && "of" in evidence && evidence.of !== "gradients";

/**
 * A pruning criterion: `scores` for individual weights, `units` for channels, or both. Without `units`, channels are ranked by the norm
 * of their weights' scores.
 * @example
 * import type { Importance } from "pith/prune";
 * const nearOne: Importance = { id: "near one", scores: ({ values }) => Float64Array.from(values, (w) => Math.abs(w - 1)) };
 * await prune(net, { amount: 0.5, importance: nearOne });
 * const largest: Importance = {
 *   id: "largest",
 *   units: ({ mean }) => mean("layers", ({ rows }) => rows().map((row) => Math.max(...row.map(Math.abs)))),
 * };
 * await prune(net, { structured: 0.3, importance: largest });
 */
export interface Importance<E = unknown> {
  readonly id: string;
  /** Required statistic of layer inputs or gradients (for channels also of activations or gates). `prune` then requires `data`. */
  readonly evidence?: Evidence<E>;
  readonly summary?: string;
  /** Default pattern, such as "rows"; otherwise entries are compared within the layer. */
  readonly pattern?: string;
  /** Returns one number per entry, never NaN: in the order of `values`, or as matrices like those of the weight. */
  scores?(weight: ScoredWeight<E>): Scores | readonly Matrix[];
  /** Returns a score per unit, or a Miss if the units cannot be ranked. Units with the lowest scores are pruned. */
  units?(units: ChannelUnits<E>): Float64Array | Miss | Promise<Float64Array | Miss>;
}
