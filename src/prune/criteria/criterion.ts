/** How much the entries of a weight matter, and channels: those of least |score| go. */
import type { LayerContext } from "../../calibrate/solver.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import type { Miss } from "../../errors.ts";
import type { Matrix } from "../../math/matrix.ts";
import type { Scores } from "../../math/smallest.ts";
import type { Random } from "../../tensor/random.ts";
import type { GradientStatistic } from "../../train/gradient-statistic.ts";

/** A layer's weight, as a criterion is given it. */
export interface ScoredWeight<E = unknown> extends Omit<LayerContext<E>, "multiply"> {
  readonly dims: readonly number[];
  /** The numbers that the layer computes with, row-major: masked entries are 0, integers are scaled. */
  readonly values: Scores;
  /**
   * The same numbers as matrices, outputs × features, one for each group. Features are the columns of the evidence, those of group g from
   * g · features on.
   */
  matrices(): readonly Matrix[];
}

/**
 * Where channels that go together are looked at: in the weights of layers that make them, the scales of normalizations between, and what comes into
 * the layers that sum over them.
 */
export type ChannelPlace = "layers" | "scales" | "activations";

/** Channels along an axis of one tensor. */
export interface Channels<E = unknown> {
  /** Of the layer or the value. */
  readonly name: string;
  /** Row-major; activations have none. */
  readonly values: Scores;
  /** The numbers of each channel: of the values, or of as many others that lie as they do, as gradients. */
  rows(numbers?: ArrayLike<number>): readonly Float64Array[];
  /** What a statistic has found, of gradients as the values lie. */
  readonly evidence: E;
}

/** Channels that compete with each other. A unit is what goes as one: a channel of a layer or of several, or several channels, as a head. */
export interface ChannelUnits<E = unknown> {
  readonly count: number;
  /** Of gates, the statistic of their gradients. */
  readonly evidence: E;
  readonly random: Random;
  /**
   * A number for each unit: of each tensor the sum over the channels of the unit, relative to the mean over its units, so that no scale of a tensor and no
   * number of inputs counts; then the mean over tensors. Or a `Miss` where there is no such place. @param score gives a number for each channel.
   */
  mean(place: ChannelPlace, score: (channels: Channels<E>) => ArrayLike<number>): Promise<Float64Array | Miss>;
  /** The same, but added up as they are: changes of the loss, which compare between layers. */
  sum(place: ChannelPlace, score: (channels: Channels<E>) => ArrayLike<number>): Promise<Float64Array | Miss>;
}

/** Of what comes into the layers that sum over channels, a column for each channel. */
export type ActivationStatistic<E> = Statistic<E> & { readonly of: "activations" };

/**
 * Of ∂loss/∂ξ, a number for each unit: ξ = 1 is a factor of the unit wherever a layer sums over it, so −∂loss/∂ξ is the change of the loss, to first
 * order, without the unit.
 */
export type GateStatistic<E> = Omit<GradientStatistic<E>, "of"> & { readonly of: "gates" };

export type ChannelStatistic<E> = ActivationStatistic<E> | GateStatistic<E>;

export type Evidence<E> = Statistic<E> | GradientStatistic<E> | ChannelStatistic<E>;

/** Whether something can only be known of channels. */
export const isChannelEvidence = <E>(evidence: Evidence<E> | undefined): evidence is ChannelStatistic<E> =>
  evidence !== undefined && "of" in evidence && evidence.of !== "gradients";

/**
 * A criterion of pruning: `scores` of single weights, `units` of channels, or both. Without `units` channels are ranked by the norm of the scores of
 * their entries.
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
  /**
   * What it has to know of the inputs of the layer, or of the gradients of a loss by its weight; for channels also of activations and gates. `prune` is
   * given samples then (`data`).
   */
  readonly evidence?: Evidence<E>;
  /** For help. */
  readonly summary?: string;
  /** What the entries of a layer are compared with, where nothing else is asked for (`Pattern`): "rows". Unless said, with all of the layer. */
  readonly pattern?: string;
  /** One number for each entry, none of them NaN: in the order of `values`, or as matrices like those of the weight. */
  scores?(weight: ScoredWeight<E>): Scores | readonly Matrix[];
  /** One number for each unit, or why they have none: the least go. */
  units?(units: ChannelUnits<E>): Float64Array | Miss | Promise<Float64Array | Miss>;
}
