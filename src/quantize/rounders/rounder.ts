import type { Layer } from "../../analysis/layers.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import type { Matrix, ScaleAndZeroPoint } from "../../math/index.ts";
import type { Grid, ScaledGrid } from "../grid.ts";
import type { SlicedWeight } from "../sliced-weight.ts";

/**
 * How the numbers of a weight become codes of a grid: first its scales, then its codes. Scales that a model has learned stay.
 * @example
 * import { nearest, quantize, type Rounder } from "pith/quantize";
 * const clipped: Rounder = {
 *   id: "clipped",
 *   scales: (weight, grid) =>
 *     nearest.scales(weight, grid).map(({ scale, zeroPoint }) => ({ scale: 0.9 * scale, zeroPoint })),
 * };
 * await quantize(model, { scheme: "weights", rounder: clipped });
 */
export interface Rounder<E = unknown> {
  readonly id: string;
  /** For help. */
  readonly summary?: string;
  /** It finds zero points of blocks, and is for blocks only. */
  readonly zeroPoints?: boolean;
  /** What it has to know of what comes into a layer; `quantize` then needs samples. */
  readonly evidence?: Statistic<E>;
  /** Of which model that is: the original (the default), or the one whose layers before this are rounded already. */
  readonly of?: "original" | "changed";
  /** Scale and zero point of each slice. The zero point of a symmetric grid is given. */
  scales(
    weight: SlicedWeight,
    grid: Grid,
    known: RoundingContext<E>,
  ): readonly ScaleAndZeroPoint[] | Promise<readonly ScaleAndZeroPoint[]>;
  /**
   * Matrices like those of the weight, with a code from `low` to `high` for each number. By default the nearest. Fake quantization, which trains
   * the numbers, has that in any case.
   */
  codes?(
    weight: SlicedWeight,
    grid: ScaledGrid,
    known: RoundingContext<E>,
  ): readonly Matrix[] | Promise<readonly Matrix[]>;
}

/** What a rounder is told beside the numbers. */
export interface RoundingContext<E> {
  readonly layer: Layer;
  readonly evidence: E;
}
