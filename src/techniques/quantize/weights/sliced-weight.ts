import { type Layer, weightElements, weightMatrices } from "#analysis";
import { type Dense, toFloat32 } from "#ir";
import type { Matrix } from "../../../core/math/matrix.ts";
import type { WeightRole } from "../../../core/ops/entry.ts";
import type { SlicedWeight } from "../../calibrate/solver.ts";
import { slicedWeight } from "../grid.ts";

/** Reads the weight of a layer as slices that share a scale: one per output, or per `block` elements of a row. */
export const sliceWeight = (layer: Layer, dense: Dense, outputs: number, block?: number): SlicedWeight =>
  slicedWeight(weightMatrices(byRows(layer, block), dense.dims, toFloat32(dense)), outputs, block);

/** Inverts `sliceWeight` without blocks: returns the values in the tensor's storage order. */
export const asTensor = (layer: Layer, dims: readonly number[], matrices: readonly Matrix[]): Float64Array =>
  weightElements(byRows(layer), dims, matrices);

function byRows({ role }: Layer, block?: number): WeightRole {
  // Each row of an embedding table is read separately.
  if (role.kind === "lookup") return { ...role, out: role.in, in: role.out };
  return block === undefined || role.out !== 0 ? role : { ...role, in: 1, outTaps: [] };
}
