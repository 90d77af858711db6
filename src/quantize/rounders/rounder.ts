import type { Layer } from "../../analysis/layers.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import type { ScaleAndZeroPoint } from "../../math/index.ts";
import type { Dense } from "../../tensor/types.ts";
import type { Grid, ScaledGrid } from "../grid.ts";

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
  /** Scale and zero point of each slice along the grid's axis, or of all numbers. The zero point of a symmetric grid is given. */
  scales(
    weight: Dense,
    grid: Grid,
    known: RoundingContext<E>,
  ): readonly ScaleAndZeroPoint[] | Promise<readonly ScaleAndZeroPoint[]>;
  /**
   * The same of one slice, where its smallest and largest number are enough: `scales` is then called only where these are not known yet.
   * @param steps its numbers are whole multiples of their largest magnitude over this; 0 where they are not.
   */
  ofRange?(grid: Grid, min: number, max: number, steps: number): ScaleAndZeroPoint;
  /** A code from `low` to `high` for each number, in the weight's order. By default the nearest. Fake quantization, which trains the numbers, has that in any case. */
  codes?(weight: Dense, grid: ScaledGrid, known: RoundingContext<E>): ArrayLike<number> | Promise<ArrayLike<number>>;
}

/** What a rounder is told beside the numbers. `weightMatrices(layer, weight)` of `pith/analysis` has them as outputs × inputs. */
export interface RoundingContext<E> {
  readonly layer: Layer;
  readonly evidence: E;
}
