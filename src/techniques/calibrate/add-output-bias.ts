/** Adds a shift per output channel to a layer: to its bias (float or integer), to the Add after it, or by a new Add. */
import { type BiasedOutput, type Layer, storedRoot } from "#analysis";
import type { Model, Node, Value } from "#ir";
import { emitInto, fromNumbers, inMemory, isFloat, replaceUses, toFloat64 } from "#ir";
import { smallestBiasScale } from "../shared/affine-codes.ts";

/** A larger code can leave int32 when the runtime adds products to it. */
const largestBiasCode = Math.floor(1 / smallestBiasScale(1));

/** @param sum the Add that follows the layer (`biasedOutput`) */
export async function addOutputBias(
  model: Model,
  layer: Layer,
  sum: BiasedOutput["bias"],
  shift: Float64Array,
): Promise<void> {
  const { bias, node, role } = layer;
  if (role.biasInput !== undefined) {
    if (bias === undefined) return addStoredBias(model, layer, shift);
    if (bias.tensor !== undefined && isFloat(bias.tensor.type))
      return addToStored(model, node, role.biasInput, bias, shift);
    if (await addToQuantizedBias(bias, shift)) return;
  }
  if (sum === undefined) appendAdd(model, layer, shift);
  else await addToStored(model, sum.node, sum.input, sum.vector, shift);
}

function addStoredBias(model: Model, { node, role, name, weight }: Layer, shift: Float64Array): void {
  const type = node.outputs[0]?.type?.type;
  const tensor = inMemory(fromNumbers(type !== undefined && isFloat(type) ? type : "float32", [shift.length], shift));
  const bias = model.graph.addTensor(`${name}.bias`, tensor, weight.role);
  if (role.biasInput !== undefined) model.graph.setInput(node, role.biasInput, bias);
}

async function addToStored(model: Model, node: Node, input: number, value: Value, shift: Float64Array): Promise<void> {
  const dense = await value.tensor?.read();
  if (dense === undefined || !isFloat(dense.type)) return;
  const numbers = toFloat64(dense);
  const sum = shift.map((addend, channel) => addend + (numbers[numbers.length === 1 ? 0 : channel] ?? 0));
  const dims = numbers.length === sum.length ? dense.dims : [...dense.dims.slice(0, -1), sum.length];
  const tensor = inMemory(fromNumbers(dense.type, dims.length === 0 ? [sum.length] : dims, sum));
  if (value.uses.size === 1 && numbers.length === sum.length) value.tensor = tensor;
  else model.graph.setInput(node, input, model.graph.addTensor(value.name, tensor, value.role));
}

/** Returns the stored scale of a dequantized value. */
export function scaleOf(value: Value): Value | undefined {
  const inputs = value.producer?.inputs ?? [];
  const root = storedRoot(value);
  const [scale, ...furtherScales] = inputs.filter((input) => input?.tensor?.type === "float32");
  if (root?.tensor === undefined || isFloat(root.tensor.type) || !inputs.includes(root)) return undefined;
  if (value.uses.size > 1 || furtherScales.length > 0) return undefined;
  return (scale?.tensor?.dims.length ?? 0) > 1 ? undefined : scale;
}

/** Returns whether the bias could be changed. */
async function addToQuantizedBias(bias: Value, shift: Float64Array): Promise<boolean> {
  const [root, scale] = [storedRoot(bias), await scaleOf(bias)?.tensor?.read()];
  if (root?.tensor?.type !== "int32" || root.uses.size > 1 || scale === undefined) return false;
  const codes = await root.tensor.read();
  if (codes.type !== "int32" || codes.data.length !== shift.length) return false;
  const scales = toFloat64(scale);
  const data = codes.data.map((code, channel) => {
    const sum = code + Math.round((shift[channel] ?? 0) / (scales[scales.length === 1 ? 0 : channel] ?? 1));
    return Math.max(-largestBiasCode, Math.min(largestBiasCode, sum));
  });
  root.tensor = inMemory({ type: "int32", dims: codes.dims, data });
  return true;
}

function appendAdd(model: Model, layer: Layer, shift: Float64Array): void {
  const [output] = layer.node.outputs;
  if (output === undefined) return;
  const rank = output.type?.dims?.length ?? layer.role.outputAxis + 1;
  const dims = [shift.length, ...new Array<number>(rank - layer.role.outputAxis - 1).fill(1)];
  const type = output.type?.type;
  const emit = emitInto(model, { by: "recover" });
  const vector = emit.constant(
    fromNumbers(type !== undefined && isFloat(type) ? type : "float32", dims, shift),
    `${layer.name}.bias`,
  );
  const shiftedOutput = emit.Add([output, vector]);
  shiftedOutput.type = output.type;
  replaceUses(output, shiftedOutput, shiftedOutput.producer);
  model.graph.sort();
}

/** @param powers mean square of each channel: mean² + variance. */
export const isAboveRounding = (shift: Float64Array, powers: Float64Array): boolean =>
  shift.some((change, channel) => Math.abs(change) > 1e-6 * Math.sqrt(powers[channel] ?? 0));
