/** Finds the bias of a layer. Exporters often write the bias of a matrix product as a separate addition after it. */
import { elementCount, fixedDims, isFloat, type Node, type Value } from "#graph";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";

export interface BiasedOutput {
  readonly output: Value;
  /** The node that adds the bias after the layer, and the index of its input that is the stored bias. */
  readonly bias: { readonly node: Node; readonly input: number; readonly vector: Value } | undefined;
}

/** Returns the layer's output with its bias. */
export function biasedOutput(layer: Layer, inference: Inference): BiasedOutput | undefined {
  const [output] = layer.node.outputs;
  if (output === undefined) return undefined;
  const [use] = output.uses;
  const isShared = output.uses.size > 1 || output.graph.isOutput(output);
  if (layer.role.biasInput !== undefined || use === undefined || isShared) return { output, bias: undefined };
  const sum = biasSum(use.node, layer, inference);
  const [result] = use.node.outputs;
  return sum === undefined || result === undefined ? { output, bias: undefined } : { output: result, bias: sum };
}

function biasSum(node: Node, { role, outputs }: Layer, inference: Inference): BiasedOutput["bias"] {
  const affine = inference.facet(node, "affine");
  if (affine?.kind !== "arithmetic" || affine.axis !== role.outputAxis) return undefined;
  const [input = 0] = affine.inputs;
  const vector = node.inputs[input];
  const dims = fixedDims(vector?.type?.dims);
  if (vector?.tensor === undefined || !isFloat(vector.tensor.type) || dims === undefined) return undefined;
  if (elementCount(dims) !== outputs) return undefined;
  // Evaluates the operator at 3, because a sum, a difference and a product then give different coefficients.
  const { scale, shift } = affine.of([Float64Array.of(3)]);
  return scale[0] === 1 && shift[0] === 3 ? { node, input, vector } : undefined;
}
