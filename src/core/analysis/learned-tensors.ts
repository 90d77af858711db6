/** Counts a model's learned parameters, including quantized ones, without masks and position tables. */
import { elementCount, isFloat, type Model, type Value } from "#graph";
import { smallBuffersAmong } from "./buffers.ts";
import type { Inference } from "./infer.ts";
import { allLayers, weightCount } from "./layers.ts";
import { parameterReads, parametersOf } from "./parameters.ts";
import { storedRoot } from "./stored-root.ts";
import { arithmeticTypes } from "./weight-needs.ts";

/**
 * Returns the tensors with learned values and their unpacked element counts. Reads small tensors to exclude position tables and masks.
 * @example
 * const parameters = learnedCount(await learnedTensors(model, infer(model)));
 */
export async function learnedTensors(model: Model, inference: Inference): Promise<ReadonlyMap<Value, number>> {
  const tensors = new Set(parametersOf(model, inference));
  for (const value of model.graph.values())
    if (value.role?.kind === "tied" && value.tensor !== undefined) tensors.add(value);
  const layers = allLayers(model, inference);
  // An int32 tensor that a node converts to float is a quantized bias. Other int32 tensors are sizes or indices.
  const roots = parameterReads(model, inference).flatMap(({ node, root }) =>
    root.tensor?.type !== "int32" || isFloat(node.outputs[0]?.type?.type ?? "int32") ? [root] : [],
  );
  const candidates = [
    ...roots,
    ...layers.flatMap(({ weight, bias }) => [weight, (bias && storedRoot(bias)) ?? []].flat()),
  ];
  for (const value of candidates) {
    const { tensor, role } = value;
    if (tensor !== undefined && role === undefined && !isFloat(tensor.type) && !arithmeticTypes.has(tensor.type))
      tensors.add(value);
  }
  for (const buffer of await smallBuffersAmong(tensors)) tensors.delete(buffer);
  const counts = new Map([...tensors].map((value) => [value, elementCount(value.tensor?.dims ?? [0])]));
  for (const layer of layers) if (counts.has(layer.weight)) counts.set(layer.weight, weightCount(layer));
  return counts;
}

export function learnedCount(countsByTensor: ReadonlyMap<Value, number>): number {
  let sum = 0;
  for (const count of countsByTensor.values()) sum += count;
  return sum;
}
