/**
 * What changes a weight under a constraint, so that its layer answers nearly as before: its numbers go to a grid (nearest, HQQ, GPTQ), or some of them
 * to zero (magnitude, optimal brain surgeon, SparseGPT). Layer after layer, in their order; what comes into a layer is of the model as it was, or as it has become.
 */
import type { Layer } from "../analysis/layers.ts";
import type { Matrix, Multiply, QuantizationRange, QuantizedType, ScaleAndZeroPoint } from "../math/index.ts";
import type { Random } from "../tensor/random.ts";
import type { Statistic } from "./statistic.ts";

/**
 * A solver: for rounding it has `scales`, and `codes` where it decides each; for pruning it has `prune`. One file may have all of them.
 * @example
 * import type { Solver } from "pith/calibrate";
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
  /** For help. */
  readonly summary?: string;
  /** What it has to know of what comes into a layer: the pass is given samples then (`data`). */
  readonly evidence?: Statistic<E>;
  /** It takes layers of which nothing can be known (tables), too: their evidence is undefined. */
  readonly blind?: true;
  /** Of which model that is: the original (the default), the one whose layers before this have changed already, or that with the original beside it. */
  readonly of?: "original" | "changed" | "both";
  /** It finds zero points of blocks, and is for blocks only. */
  readonly zeroPoints?: boolean;
  /** Scale and zero point of each slice; the zero point of a symmetric grid is given. Scales that a model has learned stay: it is not asked then. */
  scales?(
    weight: SlicedWeight,
    grid: Grid,
    known: LayerContext<E>,
  ): readonly ScaleAndZeroPoint[] | Promise<readonly ScaleAndZeroPoint[]>;
  /**
   * Matrices like those of the weight, with a code from `low` to `high` for each number. By default the nearest. Fake quantization, which trains
   * the numbers, has that in any case.
   */
  codes?(
    weight: SlicedWeight,
    grid: ScaledGrid,
    known: LayerContext<E>,
  ): readonly Matrix[] | Promise<readonly Matrix[]>;
  /** What goes and what becomes of the rest. @param weights outputs × inputs, 0 where entries are gone. @param kept 1 for those that are left. */
  prune?(
    weights: readonly Matrix[],
    kept: readonly MatrixMask[],
    goal: PruneGoal,
    known: LayerContext<E>,
  ): PruneSolution | Promise<PruneSolution>;
}

/** What a solver is told of a layer, beside the numbers. */
export interface LayerContext<E = unknown> {
  readonly layer: Layer;
  /** What the statistic has found: columns as those of the matrices, group after group. */
  readonly evidence: E;
  /** A stream of this layer's own. */
  readonly random: Random;
  /** Makes large products of matrices, on the runtime. */
  readonly multiply: Multiply;
}

/** A layer's weight as matrices, of which the numbers of a *slice* share a scale. */
export interface SlicedWeight {
  /** Outputs × inputs, one for each group; a table as rows × width. Columns are those of what comes into the layer (`Features`). */
  readonly matrices: readonly Matrix[];
  /** How many slices there are: one; one for each output; or one for each block of a row, those of the first row before those of the next. */
  readonly slices: number;
  /** The slice of a number. */
  sliceAt(group: number, row: number, column: number): number;
  /** The numbers of a slice, row by row; the last block of a row is filled up with zeros. */
  numbers(slice: number): Float64Array;
  /** Other matrices of the same sizes, in the same slices. */
  like(matrices: readonly Matrix[]): SlicedWeight;
}

/** Codes of a weight; `low` and `high` are the smallest and largest that are used. */
export interface Grid extends QuantizationRange {
  readonly type: Extract<QuantizedType, "int8" | "uint8" | "int4" | "uint4" | "uint2">;
  /** Slices are blocks of so many numbers in a row. Codes and scales are those of `MatMulNBits` (`math/blocks.ts`). */
  readonly block?: number;
  /** The zero point is 0 (int8) or 128 (uint8); else it follows from the numbers. */
  readonly symmetric: boolean;
}

/** A grid with its scales and zero points, one for each slice. */
export interface ScaledGrid extends Grid {
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

/** 1 for each entry that stays, row-major as the matrix that it belongs to. */
export type MatrixMask = Uint8Array;

/**
 * Which entries of a weight may go together, and what they are compared with.
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
  /** The share of entries that goes, where the pattern itself says it: then no amount is given. */
  readonly share?: number;
  /** It can decide on so many columns (or a multiple) without the others; a solver may then ask for those as earlier ones have left them. */
  readonly columns?: number;
  /**
   * What stays of a layer, or of some of its columns.
   * @param scores one matrix for each group of the layer: entries of least magnitude go. @param kept what is left, of the same sizes.
   * @param amount share of what is left that goes.
   * @returns what stays of what is left.
   */
  choose(scores: readonly Matrix[], kept: readonly MatrixMask[], amount: number): readonly MatrixMask[];
}

export interface PruneGoal {
  readonly pattern: Pattern;
  /** Share of what is left that goes. */
  readonly amount: number;
}

export interface PruneSolution {
  /** As they were given, where entries that stay are corrected; what goes counts as 0, whatever it is. */
  readonly weights?: readonly Matrix[];
  /** What stays of what was left. */
  readonly kept: readonly MatrixMask[];
}
