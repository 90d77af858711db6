/**
 * Channels silenced instead of cut: the same dimensions, with zeros in every parameter that touches them.
 *
 * What a cut promises is measured by this: the cut model computes what the silenced one does, as every consumer multiplies the channel by 0.
 */

import { type Inference, infer } from "../../../src/core/analysis/infer.ts";
import type { Removal } from "../../../src/core/analysis/remove-channels.ts";
import { storedRoot } from "../../../src/core/analysis/stored-root.ts";
import { Miss, PithError } from "../../../src/core/errors.ts";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { stridesOf } from "../../../src/core/tensor/axis-layout.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { inMemory } from "../../../src/core/tensor/dense.ts";
import type { Tensor } from "../../../src/core/tensor/types.ts";

/**
 * Sets weights, biases, and scales and shifts of normalizations to 0 along the units' channels, in place. Constants that are no
 * parameters (divisors, variances, bounds) stay.
 * @throws PithError E_UNSUPPORTED if such a parameter is stored as anything else than floats.
 */
export async function zeroChannels(model: Model, removals: readonly Removal[]): Promise<void> {
  const parameters = parametersOf(model, infer(model));
  for (const { group, units } of removals) {
    const removedUnits = new Set(units);
    for (const { value, axis, unitOf } of group.slices) {
      if (value.tensor === undefined || !parameters.has(value)) continue;
      const indices = [...unitOf.keys()].filter((index) => removedUnits.has(unitOf[index] ?? -1));
      if (indices.length > 0) value.tensor = await zeroed(value.tensor, axis, indices, value.name);
    }
  }
}

/** Stored tensors that entries name as trained, found through masks and work on stored tensors. */
function parametersOf(model: Model, inference: Inference): ReadonlySet<Value> {
  const parameters = new Set<Value>();
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    for (const port of bound.parameters()) {
      const input = node.inputs[port];
      const root = input === undefined ? undefined : storedRoot(input);
      if (root !== undefined) parameters.add(root);
    }
  }
  return parameters;
}

async function zeroed(tensor: Tensor, axis: number, indices: readonly number[], name: string): Promise<Tensor> {
  const { type, dims } = tensor;
  if (type !== "float32" && type !== "float64" && type !== "float16" && type !== "bfloat16") {
    throw new PithError("E_UNSUPPORTED", `"${name}" is stored as ${type}: its channels cannot be silenced.`);
  }
  const numbers = Float64Array.from(toFloat64(await tensor.read()));
  const inner = stridesOf(dims)[axis] ?? 1;
  const size = dims[axis] ?? 1;
  for (let block = 0; block < numbers.length; block += size * inner) {
    for (const index of indices) numbers.fill(0, block + index * inner, block + (index + 1) * inner);
  }
  return inMemory(fromNumbers(type, dims, numbers));
}
