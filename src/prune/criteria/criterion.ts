/** How much the entries of a weight matter: those of least |score| go. Channels are ranked by the norm of the scores of their entries. */
import type { LayerContext } from "../../calibrate/solver.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import type { Matrix } from "../../math/matrix.ts";
import type { Scores } from "../../math/smallest.ts";
import type { GradientStatistic } from "../../train/gradient-statistic.ts";

/** A layer's weight, as a criterion is given it. */
export interface ScoredWeight<E = unknown> extends LayerContext<E> {
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
 * A criterion of pruning.
 * @example
 * import type { Importance } from "pith/prune";
 * const nearOne: Importance = { id: "near one", scores: ({ values }) => Float64Array.from(values, (w) => Math.abs(w - 1)) };
 * await prune(net, { amount: 0.5, importance: nearOne });
 */
export interface Importance<E = unknown> {
  readonly id: string;
  /** What it has to know of the inputs of the layer, or of the gradients of a loss by its weight: `prune` is given samples then (`data`). */
  readonly evidence?: Statistic<E> | GradientStatistic<E>;
  /** For help. */
  readonly summary?: string;
  /** What the entries of a layer are compared with, where nothing else is asked for (`Pattern`): "rows". Unless said, with all of the layer. */
  readonly pattern?: string;
  /** One number for each entry, none of them NaN: in the order of `values`, or as matrices like those of the weight. */
  scores(weight: ScoredWeight<E>): Scores | readonly Matrix[];
}
