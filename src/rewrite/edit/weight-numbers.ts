/**
 * Reads a layer's weight, in the layout of the layer's role:
 *      floats             the values that the layer reads, through masks and quantization
 *      quantized          (code - zero point) · scale; the scale is an input, or in later nodes: Mul(Cast(MatMulInteger(…)), Mul(s, scale))
 *      packed in blocks   the matrix that the operator's definition computes
 */
import { type Inference, infer, type Layer, outputScaleFactors } from "#analysis";
import type { Dense, Model, Value } from "#ir";
import { axisLayout, emitInto, extract, isFloat, Miss, toFloat64, toFloats } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import type { PackedWeight } from "../../core/ops/entry.ts";
import { entryOf } from "../../core/ops/index.ts";
import { loweringOpset } from "./lower-fused.ts";
import { raiseOpset } from "./raise-opset.ts";
import { evaluate, readStoredValue } from "./stored-values.ts";

export interface WeightNumbers {
  readonly dims: readonly number[];
  /** Row-major. Can be the stored array: do not write to it. */
  readonly values: Float32Array | Float64Array;
}

/** Returns a Miss if the scale of quantized values is unknown. @throws PithError E_ENGINE */
export async function readWeight(model: Model, layer: Layer, engine: Engine): Promise<WeightNumbers | Miss> {
  const { effective, role } = layer;
  if (role.packed !== undefined) return unpackWeight(model, layer, role.packed, engine);
  const dense = await readStoredValue(model, effective, engine);
  if (isFloat(dense.type)) return { dims: dense.dims, values: toFloats(dense) };
  return decodeWeight(model, layer, dense, engine);
}

async function unpackWeight(
  model: Model,
  { node, name }: Layer,
  packedWeight: PackedWeight,
  engine: Engine,
): Promise<WeightNumbers | Miss> {
  const inference = infer(model);
  const storedInputs = node.inputs.filter((value) => value !== undefined && inference.operand(value)?.stored === true);
  const part = extract(model, storedInputs as readonly Value[]);
  raiseOpset(part, loweringOpset);
  const partInference = infer(part);
  const inputs = node.inputs.map((value) => part.graph.outputs[storedInputs.indexOf(value)]);
  const matrix = packedWeight.matrix(emitInto(part, { onNode: partInference.visit }), inputs);
  if (matrix instanceof Miss) return new Miss(`its weight is packed: ${matrix.reason}`, name);
  const dense = (await evaluate(part, [matrix], engine)).get(matrix);
  if (dense === undefined) return new Miss("its weight could not be evaluated", name);
  return { dims: dense.dims, values: toFloat64(dense) };
}

async function decodeWeight(model: Model, layer: Layer, codes: Dense, engine: Engine): Promise<WeightNumbers | Miss> {
  const { name, role } = layer;
  const { scales, zeroPoint } = findScales(model, layer, infer(model));
  if (scales.length === 0) return new Miss("the scale of its quantized values is not known", name);
  const read = async (value: Value): Promise<Float64Array> => toFloat64(await readStoredValue(model, value, engine));
  // A table can have one scale per row.
  const axes = role.kind === "lookup" ? [role.in, role.out] : [role.out];
  const values = toFloat64(codes);
  const applyAlong = (vector: Float64Array, change: (value: number, by: number) => number): boolean => {
    const axis =
      vector.length === 1 ? axes[0] : axes.find((candidateAxis) => codes.dims[candidateAxis] === vector.length);
    if (axis === undefined) return false;
    const { count, inner } = axisLayout(codes.dims, axis);
    values.forEach((value, index) => {
      const channel = vector.length === 1 ? 0 : Math.floor(index / inner) % count;
      values[index] = change(value, vector[channel] ?? 0);
    });
    return true;
  };
  const successes = [
    zeroPoint === undefined || applyAlong(await read(zeroPoint), (code, zero) => code - zero),
    ...(await Promise.all(scales.map(read))).map((scale) => applyAlong(scale, (value, by) => value * by)),
  ];
  return successes.every(Boolean)
    ? { dims: codes.dims, values }
    : new Miss("the scales of its quantized values are not per channel", name);
}

function findScales(model: Model, { node, role, effective }: Layer, inference: Inference) {
  if (role.kind === "lookup") {
    // Row scales are applied after the lookup; quantizers store them under related names.
    const stem = effective.name.replace(/_quantized$/, "");
    const scale = model.graph.value(`${stem}_scale`);
    return { scales: scale === undefined ? [] : [scale], zeroPoint: model.graph.value(`${stem}_zero_point`) };
  }
  const codesRule = entryOf(node)?.codes?.find(({ input }) => input === role.input);
  const scale = codesRule?.scale === undefined ? undefined : node.inputs[codesRule.scale];
  const scales = scale === undefined ? outputScaleFactors(node, inference) : [scale];
  return { scales, zeroPoint: codesRule && node.inputs[codesRule.zeroPoint] };
}
