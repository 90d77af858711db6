/** Values that the roundings of one step share: the method, earlier measurements, and scales from a training. */
import type { Layer } from "#analysis";
import type { Dataset } from "#batches";
import { type Dense, type Model, PithError, type Tensor } from "#ir";
import type { Context } from "#pass";
import type { LayerContext, Solver } from "../../calibrate/solver.ts";
import type { BlockScales } from "../../shared/blocks.ts";
import type { ModelRoundings, WeightRounding } from "../fake-rounding.ts";
import { scaleAxis } from "./weight-settings.ts";

export interface RoundingSource {
  readonly model: Model;
  readonly context: Context;
  readonly rounder: Solver;
  /** Measurements of stored weights, taken when a weight was checked, so that it is not read again. */
  readonly measured: WeakMap<Tensor, MeasuredWeight>;
  contextOf(layer: Layer): Promise<LayerContext>;
  /** Rounds a weight, or returns the result of an earlier run of the step with the same weight, settings and `form`. */
  roundOnce<T>(layer: Layer, weight: Dense, form: object, round: (context: LayerContext) => Promise<T>): Promise<T>;
}

export interface Rounding extends RoundingSource {
  readonly existing: ModelRoundings;
}

export interface RounderOptions {
  readonly rounder: string | Solver;
  readonly data?: Dataset | string | undefined;
  readonly samples: number;
}

export interface MeasuredWeight {
  readonly ranges?: ReadonlyMap<number | undefined, readonly SliceRange[]>;
  /** Scales of the blocks, valid for the layer and settings that their `key` states (`blocksKey`). */
  readonly blocks?: MeasuredBlocks;
}

export interface MeasuredBlocks {
  readonly key: string;
  readonly scales: BlockScales;
  /** Whether the scales represent all values exactly, because the weight was quantized before. */
  readonly isExact: boolean;
  /** Scales and real zero points that represent all values exactly, if no integer zero points do. */
  readonly lattice: BlockScales | undefined;
}

/** A range with the `steps` of `computeScale`. */
export interface SliceRange {
  readonly min: number;
  readonly max: number;
  readonly steps: number;
}

/** Selects the fake quantization of a weight that a layer reads: along its scale axis, or else with one scale. */
export function roundingOf<T extends { readonly axis: number | undefined }>(
  layer: Layer,
  roundings: readonly T[] = [],
): T | undefined {
  const findByAxis = (axis: number | undefined): T | undefined => roundings.find((rounding) => rounding.axis === axis);
  return findByAxis(scaleAxis(layer)) ?? findByAxis(undefined);
}

export const existingRounding = (layer: Layer, { existing }: Pick<Rounding, "existing">): WeightRounding | undefined =>
  roundingOf(layer, existing.weights.get(layer.effective));

export async function withLayerName<T>(layer: Layer, work: () => T | Promise<T>): Promise<T> {
  const at = `Layer "${layer.name}"`;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PithError) || error.at === at) throw error;
    throw error.reworded({ at });
  }
}
