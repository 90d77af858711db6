import type { Emit } from "../../../core/graph/emit.ts";
import type { Model } from "../../../core/graph/model.ts";
import { channelRanges, quantizeBias, smallestScale, weightScaleForBias } from "../../../core/math/index.ts";
import type { Context } from "../../../core/pass/pass.ts";
import { toFloat32 } from "../../../core/tensor/convert.ts";
import type { Dense } from "../../../core/tensor/types.ts";
import { readStoredValue } from "../../../rewrite/edit/stored.ts";
import type { ScaledGrid } from "../../calibrate/solver.ts";
import type { Along } from "../grid.ts";
import type { Target } from "../target.ts";
import { forLayer } from "../weight.ts";

export interface AddedToSums {
  readonly bias: Float32Array;
  readonly dataScale: number;
}

/** Returns the bias per output channel times its factor; undefined without a bias that int32 can represent. */
export async function vectorBias(
  model: Model,
  { layer, rule }: Target,
  context: Context,
): Promise<Float32Array | undefined> {
  const { bias } = layer;
  const { biasFactor: factor } = rule;
  if (bias === undefined || factor === undefined) return undefined;
  const dense = await readStoredValue(model, bias, context.engine);
  const values = factor === 1 ? toFloat32(dense) : toFloat32(dense).map((value) => value * factor);
  if (values.length === 1) return new Float32Array(layer.outputs).fill(values[0] ?? 0);
  return values.length === layer.outputs && dense.dims.at(-1) === layer.outputs ? values : undefined;
}

/** Enlarges scales so that int32 can represent all biases. If all weights are 0, the bias alone decides. */
export const grownFor =
  (added: readonly AddedToSums[]) =>
  async (grid: ScaledGrid & Along, read: () => Promise<Dense>): Promise<ScaledGrid & Along> => {
    if (added.length === 0) return grid;
    const { min, max } = channelRanges(await read(), grid.axis);
    const scale = grid.scale.map((own, channel) => {
      let grown = min[channel] === 0 && max[channel] === 0 ? 0 : own;
      for (const { bias, dataScale } of added) {
        const largest = grid.scale.length === 1 ? largestOf(bias) : Math.abs(bias[channel] ?? 0);
        if (largest > 0) grown = weightScaleForBias(dataScale, grown, largest);
      }
      return grown === 0 ? own : Math.fround(Math.max(grown, smallestScale));
    });
    return { ...grid, scale };
  };

const largestOf = (values: Float32Array): number =>
  values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);

export async function writeBias(
  model: Model,
  emit: Emit,
  { layer, rule }: Target,
  { bias, dataScale }: AddedToSums,
  weightScales: ArrayLike<number>,
): Promise<void> {
  const { bias: value, role, node } = layer;
  if (value === undefined || role.bias === undefined) return;
  const { codes, scale } = await forLayer(layer, () => quantizeBias(bias, dataScale, weightScales));
  const dims = scale.length === 1 ? [] : [scale.length];
  const axis = scale.length === 1 ? {} : { axis: 0 };
  const close = emit
    .named(`${value.name}_DequantizeLinear_Output`)
    .DequantizeLinear(
      [
        emit.constant({ type: "int32", dims: [codes.length], data: codes }, `${value.name}_quantized`),
        emit.constant({ type: "float32", dims, data: scale }, `${value.name}_quantized_scale`),
        emit.constant(
          { type: "int32", dims, data: new Int32Array(scale.length) },
          `${value.name}_quantized_zero_point`,
        ),
      ],
      axis,
    );
  model.graph.setInput(node, role.bias, close);
  if (rule.biasAttribute !== undefined) model.graph.setAttribute(node, rule.biasAttribute, undefined);
}
