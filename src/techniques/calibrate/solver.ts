/** Interfaces of solvers: methods that round or prune a layer's weights with little effect on its outputs, one layer after another. */
import type { Layer } from "#analysis";
import type { Random } from "#ir";
import type { Matrix, Multiply } from "../../core/math/matrix.ts";
import type { QuantizationRange, QuantizedType, ScaleAndZeroPoint } from "../shared/affine-codes.ts";
import type { Statistic } from "./statistic.ts";

/**
 * A method that rounds weights (`scales` and optionally `codes`) or prunes weights (`prune`).
 * @example
 * import type { Solver } from "pith/extend";
 * import { nearest, quantize } from "pith/quantize";
 * const clipped: Solver = {
 *   id: "clipped",
 *   scales: (weight, grid) =>
 *     nearest.scales(weight, grid).map(({ scale, zeroPoint }) => ({ scale: 0.9 * scale, zeroPoint })),
 * };
 * await quantize(model, { scheme: "weights", rounder: clipped });
 */
export interface Solver<E = unknown> {
  readonly id: string;
  readonly summary?: string;
  /** Required statistic of layer inputs: the pass then needs samples (`data`). */
  readonly evidence?: Statistic<E>;
  /** Also accepts layers without observable inputs (embedding tables): their evidence is undefined. */
  readonly blind?: true;
  /** The model whose layer inputs are observed: the original (default), the one in which earlier layers are changed, or both. */
  readonly of?: "original" | "changed" | "both";
  /** Describes the scales in reports. */
  readonly scalesText?: string;
  /** Returns the scale and zero point of each slice; a symmetric grid has a fixed zero point. */
  scales?(
    weight: SlicedWeight,
    grid: Grid,
    context: LayerContext<E>,
  ): readonly ScaleAndZeroPoint[] | Promise<readonly ScaleAndZeroPoint[]>;
  /** Returns matrices of quantized values from `low` to `high` (default: round to nearest). */
  codes?(
    weight: SlicedWeight,
    grid: ScaledGrid,
    context: LayerContext<E>,
  ): readonly Matrix[] | Promise<readonly Matrix[]>;
  /** Chooses entries to prune. @param weights matrices [outputs, inputs], 0 for pruned entries. @param kept 1 for remaining entries. */
  prune?(
    weights: readonly Matrix[],
    kept: readonly MatrixMask[],
    goal: PruneGoal,
    context: LayerContext<E>,
  ): PruneSolution | Promise<PruneSolution>;
}

export interface LayerContext<E = unknown> {
  readonly layer: Layer;
  /** The result of the statistic, whose columns are those of the weight matrices, group after group. */
  readonly evidence: E;
  readonly random: Random;
  readonly multiply: Multiply;
}

/** A layer's weight as matrices; the values of a *slice* share a scale. */
export interface SlicedWeight {
  /** A matrix [outputs, inputs] per group; a table is [rows, width]. Columns are those of the layer inputs (`Features`). */
  readonly matrices: readonly Matrix[];
  /** Number of slices: one, one per output, or one per block of a row (row by row). */
  readonly slices: number;
  sliceAt(group: number, row: number, column: number): number;
  /** Returns the values of a slice, row by row; the last block of a row is padded with zeros. */
  numbers(slice: number): Float64Array;
  /** Returns other matrices of the same sizes with the same slices. */
  like(matrices: readonly Matrix[]): SlicedWeight;
}

/** Quantized values of a weight; `low` and `high` bound the used range. */
export interface Grid extends QuantizationRange {
  readonly type: Extract<QuantizedType, "int8" | "uint8" | "int4" | "uint4" | "uint2">;
  /** Number of consecutive row elements per block. Values and scales are those of `MatMulNBits` (`shared/blocks.ts`). */
  readonly block?: number;
  /** The zero point is fixed at 0 (signed types), or 128, 8 or 2 (unsigned). */
  readonly symmetric: boolean;
}

export interface ScaledGrid extends Grid {
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

/** 1 for each kept entry, in the row-major order of its matrix. */
export type MatrixMask = Uint8Array;

/**
 * Selects which entries of a weight are pruned together and compared.
 * @example
 * import { type Pattern, prune } from "pith/prune";
 * const firstInput: Pattern = {
 *   id: "first input",
 *   share: 0.5,
 *   choose: (scores, kept) =>
 *     kept.map((mask, group) => mask.map((stays, at) => (at % (scores[group]?.columns ?? 1) === 0 ? 0 : stays))),
 * };
 * await prune(net, { pattern: firstInput });
 */
export interface Pattern {
  readonly id: string;
  /** Share of entries that the pattern removes, instead of an amount. */
  readonly share?: number;
  /** Number of neighboring columns that are decided jointly. A solver can update the remaining columns after each such block. */
  readonly columns?: number;
  /**
   * Returns the entries to keep of a layer, or of some of its columns.
   * @param scores one matrix per group: entries with the smallest magnitude are pruned. @param kept remaining entries, in the same sizes.
   * @param amount share of the remaining entries to prune.
   */
  choose(scores: readonly Matrix[], kept: readonly MatrixMask[], amount: number): readonly MatrixMask[];
}

export interface PruneGoal {
  readonly pattern: Pattern;
  /** Share of the remaining entries to prune. */
  readonly amount: number;
}

export interface PruneSolution {
  /** Corrected weights, if any; pruned entries count as 0. */
  readonly weights?: readonly Matrix[];
  readonly kept: readonly MatrixMask[];
}
