/**
 * The stored tensors that training made, in floats or as the codes that quantization left of them: what is counted as the parameters of a model.
 *
 * In floats they are those that `train` would train: `parametersOf`, without buffers that only their numbers tell. A matrix that is stored twice
 * is counted twice, whether its copy has the role `tied` already or not: that is what the file holds, and finding copies means reading all of it.
 * Codes cannot be trained, but stand for what was.
 */
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import { allLayers, type Layer } from "./layers.ts";
import { parameterRoots, parametersOf } from "./parameters.ts";
import { storedRoot } from "./stored-root.ts";
import { smallBuffersAmong } from "./untrained.ts";
import { arithmeticTypes } from "./weight.ts";

/**
 * The tensors that hold learned numbers, in all graphs. Reads those that could be tables of positions or masks.
 * @example
 * const parameters = elementsIn(await learnedTensors(model, infer(model)));
 */
export async function learnedTensors(model: Model, inference: Inference): Promise<ReadonlySet<Value>> {
  const found = new Set(parametersOf(model, inference));
  for (const value of model.graph.values())
    if (value.role?.kind === "tied" && value.tensor !== undefined) found.add(value);
  const consumed = [...parameterRoots(model, inference), ...allLayers(model, inference).flatMap(storedParts)];
  for (const value of consumed) {
    const { tensor, role } = value;
    if (tensor !== undefined && role === undefined && !isFloat(tensor.type) && !arithmeticTypes.has(tensor.type))
      found.add(value);
  }
  for (const buffer of await smallBuffersAmong(found)) found.delete(buffer);
  return found;
}

function storedParts({ weight, bias }: Layer): readonly Value[] {
  const root = bias === undefined ? undefined : storedRoot(bias);
  return root === undefined ? [weight] : [weight, root];
}

/** How many numbers tensors hold. */
export function elementsIn(values: Iterable<Value>): number {
  let sum = 0;
  for (const { tensor } of values) sum += tensor === undefined ? 0 : elementCount(tensor.dims);
  return sum;
}
