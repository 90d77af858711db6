/** The stored side of the static scheme: weights as codes, biases as int32, stored operands of other operators. */
import { plainName } from "../analysis/masks.ts";
import { ownOptions } from "../analysis/selection.ts";
import type { Emit } from "../graph/emit.ts";
import type { Model } from "../graph/model.ts";
import { channelRanges, quantizeWeights, smallestScale, weightScaleForBias } from "../math/index.ts";
import type { Context } from "../passes/pass.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { Dense } from "../tensor/types.ts";
import { dequantized } from "./formats/dequantize-linear.ts";
import { writeBias } from "./formats/qdq.ts";
import type { ScaledGrid } from "./grid.ts";
import type { QuantizeSettings } from "./options.ts";
import type { Placement } from "./placement.ts";
import type { Target } from "./target.ts";
import { type Rounding, roundedWeight, settingsOf } from "./weight.ts";

/** Weights as codes and biases as int32; with the needs of all layers that share it in view. */
export async function writeWeights(
  model: Model,
  emit: Emit,
  targets: readonly Target[],
  inputScales: ReadonlyMap<Target, number>,
  options: QuantizeSettings,
  context: Context,
  rounding: Rounding,
): Promise<void> {
  const shared = new Map<string, Target[]>();
  for (const target of targets) {
    const { own } = ownOptions(options, target.layer);
    const key = `${target.layer.effective.name}\n${settingsOf(own).type} ${own.perChannel ? target.layer.role.out : ""}`;
    shared.set(key, [...(shared.get(key) ?? []), target]);
  }
  let done = 0;
  for (const users of shared.values()) {
    context.progress(done++, shared.size);
    const [first] = users;
    if (first === undefined) continue;
    const { layer } = first;
    const biases = new Map<Target, Float32Array>();
    for (const user of users) {
      const bias = await vectorBias(model, user, context);
      if (bias !== undefined) biases.set(user, bias);
    }
    // A scale so small that a bias would not fit int32 grows. Where all weights are 0 the bias alone decides.
    const grown = (grid: ScaledGrid, dense: Dense): ScaledGrid => {
      const zero = allZero(dense, grid.axis);
      const scale = grid.scale.map((own, channel) => {
        let grown = zero[channel] === true ? 0 : own;
        for (const [user, bias] of biases) {
          const largest = grid.scale.length === 1 ? largestOf(bias) : Math.abs(bias[channel] ?? 0);
          if (largest > 0) grown = weightScaleForBias(inputScales.get(user) ?? 1, grown, largest);
        }
        return grown === 0 ? own : Math.fround(Math.max(grown, smallestScale));
      });
      return { ...grid, scale };
    };
    const settings = settingsOf(ownOptions(options, layer).own);
    const tensor = await roundedWeight(model, layer, settings, rounding, context.engine, { grown });
    const weight = dequantized(emit, plainName(layer.weight), tensor);
    for (const user of users) {
      const { node, role } = user.layer;
      model.graph.setInput(node, role.input, weight);
      const bias = biases.get(user);
      if (bias !== undefined)
        await writeBias(model, emit, user.layer, bias, inputScales.get(user) ?? 1, tensor.scale.data);
    }
  }
}

/** The bias as a vector over output channels; undefined if there is none, or none that integers can hold. */
async function vectorBias(model: Model, { layer, rule }: Target, context: Context): Promise<Float32Array | undefined> {
  const { bias } = layer;
  if (bias === undefined || rule.biasFactor !== 1) return undefined;
  const dense = await readStoredValue(model, bias, context.engine);
  const values = toFloat32(dense);
  if (values.length === 1) return new Float32Array(layer.outputs).fill(values[0] ?? 0);
  return values.length === layer.outputs && dense.dims.at(-1) === layer.outputs ? values : undefined;
}

/** Stored operands of operators on activations: codes of the activations' type, over their own range. */
export async function writeConstants(
  model: Model,
  emit: Emit,
  { constants, operators }: Placement,
  options: QuantizeSettings,
  context: Context,
): Promise<void> {
  for (const value of constants) {
    const dense: Dense = await readStoredValue(model, value, context.engine);
    const tensor = quantizeWeights({ dense, type: options.activations, symmetric: false });
    const close = dequantized(emit, value.name, tensor);
    for (const node of operators) {
      node.inputs.forEach((input, index) => {
        if (input === value) model.graph.setInput(node, index, close);
      });
    }
  }
}

/** Which channels hold nothing but zeros. */
function allZero(dense: Dense, axis: number | undefined): readonly boolean[] {
  const { min, max } = channelRanges(dense, axis);
  return Array.from(min, (low, channel) => low === 0 && max[channel] === 0);
}

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}
