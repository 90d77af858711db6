/** A layer with its bias: exporters write the bias of a product as a following sum. */
import type { Node, Value } from "../graph/graph.ts";
import { isFloat } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";

export interface BiasedOutput {
  readonly output: Value;
  /** The sum after the layer, and its input with the stored bias. */
  readonly sum: { readonly node: Node; readonly input: number; readonly vector: Value } | undefined;
}

export function biased(layer: Layer, inference: Inference): BiasedOutput | undefined {
  const [output] = layer.node.outputs;
  if (output === undefined) return undefined;
  const [use] = output.uses;
  const isShared = output.uses.size > 1 || output.graph.isOutput(output);
  if (layer.role.biasInput !== undefined || use === undefined || isShared) return { output, sum: undefined };
  const sum = sumAt(use.node, layer, inference);
  const [result] = use.node.outputs;
  return sum === undefined || result === undefined ? { output, sum: undefined } : { output: result, sum };
}

function sumAt(node: Node, { role, outputs }: Layer, inference: Inference): BiasedOutput["sum"] {
  const affine = inference.facet(node, "affine");
  if (affine?.kind !== "arithmetic" || affine.axis !== role.outputAxis) return undefined;
  const [input = 0] = affine.inputs;
  const vector = node.inputs[input];
  const dims = fixedDims(vector?.type?.dims);
  if (vector?.tensor === undefined || !isFloat(vector.tensor.type) || dims === undefined) return undefined;
  if (elementCount(dims) !== outputs) return undefined;
  // Evaluates the operator at 3 to tell a sum from a difference or a product.
  const { scale, shift } = affine.of([Float64Array.of(3)]);
  return scale[0] === 1 && shift[0] === 3 ? { node, input, vector } : undefined;
}
