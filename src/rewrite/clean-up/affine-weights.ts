/** Scales stored weights and replaces stored biases, to fold scales and shifts into layers. */
import { type Layer, weightElements, weightMatrices, weightShape } from "#analysis";
import type { Dense, Model, Value } from "#ir";
import { elementCount, fixedDims, float32, fromNumbers, inMemory, isUsed, toFloat64 } from "#ir";
import type { WeightRole } from "../../core/ops/entry.ts";

/** Smaller elements would lose digits in float32. */
const minMagnitude = 2 ** -100;

/** Multiplies a weight by a factor per output or input channel, or by one for all; undefined if the products overflow or underflow float32. */
export function scaleChannels(
  dense: Dense,
  role: WeightRole,
  factors: Float64Array,
  side: "outputs" | "inputs",
): Dense<"float32"> | undefined {
  const matrices = weightMatrices(role, dense.dims, toFloat64(dense));
  const { inputs, taps } = weightShape(role, dense.dims);
  const elementsPerFactor = dense.data.length / factors.length;
  let [largestBefore, largest] = [0, 0];
  for (const [group, { data }] of matrices.entries()) {
    for (let index = 0; index < data.length; index++) {
      const channel =
        side === "outputs"
          ? Math.floor((group * data.length + index) / elementsPerFactor)
          : group * inputs + Math.floor((index % (inputs * taps)) / taps);
      const before = data[index] ?? 0;
      const factor = factors[factors.length === 1 ? 0 : channel] ?? 0;
      const product = Math.fround(before * factor);
      if (!Number.isFinite(product) && Number.isFinite(before) && Number.isFinite(factor)) return undefined;
      if (factor !== 0) largestBefore = Math.max(largestBefore, Math.abs(before));
      largest = Math.max(largest, Math.abs(product));
      data[index] = product;
    }
  }
  if (largest < Math.min(minMagnitude, largestBefore)) return undefined;
  return float32(dense.dims, weightElements(role, dense.dims, matrices));
}

/** Returns whether a bias has one element per channel, along its last axis. */
export function isChannelVector(dims: readonly number[], channels: number): boolean {
  return dims.at(-1) === channels && dims.slice(0, -1).every((dim) => dim === 1);
}

/** Stores the bias of a layer: in place if no other node reads it and its size is the same. */
export function storeBias(model: Model, layer: Layer, bias: Float64Array): Value {
  const dims = fixedDims(layer.bias?.type?.dims);
  const hasSameSize = dims !== undefined && elementCount(dims) === bias.length;
  const tensor = inMemory(fromNumbers("float32", hasSameSize ? dims : [bias.length], bias));
  if (layer.bias?.tensor !== undefined && layer.bias.uses.size === 1 && hasSameSize) {
    layer.bias.tensor = tensor;
    return layer.bias;
  }
  const name = layer.bias?.tensor === undefined ? `${layer.name}.bias` : layer.bias.name;
  return model.graph.addTensor(name, tensor, layer.bias?.role ?? layer.weight.role);
}

/** Removes a value that nothing reads, with the nodes that compute only it. */
export function removeIfUnused(value: Value): void {
  const { graph, producer, tensor } = value;
  if (isUsed(value) || graph.ownValue(value.name) !== value) return;
  if (producer === undefined) {
    if (tensor !== undefined) graph.removeValue(value);
  } else if (!producer.outputs.some((output) => output !== undefined && isUsed(output))) {
    const inputs = [...producer.inputs];
    graph.removeNode(producer);
    for (const input of inputs) if (input !== undefined) removeIfUnused(input);
  }
}
