/**
 * Selects the tensors to train, and lists layers that training leaves unchanged. A layer includes its weight, its bias, and the tensors that compute
 * them, such as trained quantization scales.
 */
import type { Inference, Layer, Selection } from "#analysis";
import { downstreamValues, infer, isStored, layers as layersOf, parametersOf, selectLayers } from "#analysis";
import { elementCount, fixedDims, isFloat, Miss, type Model, type Node, PithError, type Value } from "#ir";
import type { BoundOp, WeightRole } from "../../core/ops/define.ts";

/** @throws PithError E_TYPE_MISMATCH if there is nothing to train, E_NAME for layers that do not exist. */
export function trainedValues(model: Model, { layers, except }: Selection): ReadonlySet<string> {
  const inference = infer(model);
  const parameters = parametersOf(model, inference);
  const all = layersOf(model, inference);
  const selectTensors = (selection: Selection): ReadonlySet<Value> =>
    new Set(selectLayers(all, selection).flatMap(tensorsOf));
  if (parameters.size === 0) throw nothingToTrainError(all.map(({ weight }) => weight));
  const chosenTensors = layers === undefined ? undefined : selectTensors({ layers });
  const excludedTensors = except === undefined ? undefined : selectTensors({ layers: except });
  return new Set(
    [...parameters]
      .filter((value) => (chosenTensors?.has(value) ?? true) && !(excludedTensors?.has(value) ?? false))
      .map((value) => value.name),
  );
}

/** Returns whether weight decay applies to a tensor: to matrices, but not to biases, normalizations (Goyal et al. 2017) or other vectors. */
export function decaysOf(model: Model): (name: string, dims: readonly number[]) => boolean {
  const inference = infer(model);
  const weights = new Set(layersOf(model, inference).map(({ weight }) => weight.name));
  return (name, dims) => {
    const value = model.graph.value(name);
    const reads = value === undefined ? [] : [...readersOf(value, inference)];
    const isExempt = reads.length > 0 && reads.every(isBiasOrScale);
    return weights.has(name) || (!isExempt && dims.filter((size) => size > 1).length > 1);
  };
}

function nothingToTrainError(weights: readonly Value[]): PithError {
  const types = new Set(weights.map(({ tensor }) => tensor?.type ?? "computed"));
  const reason = types.size === 0 ? "no layer with a weight was found" : `its weights are ${[...types].join(" and ")}`;
  return new PithError("E_TYPE_MISMATCH", `The model has nothing to train: ${reason}; floats can be trained.`);
}

/** Returns the stored tensors from which a layer's weight and bias are computed, also through masks and rounding. */
function tensorsOf({ weight, effective, bias }: Layer): readonly Value[] {
  const tensors = new Set<Value>();
  const visit = (value: Value): void => {
    const { role, tensor, producer, graph } = value;
    if (role?.kind === "tied") tensors.add(graph.value(role.name) ?? value);
    else if (tensor !== undefined) tensors.add(value);
    else for (const input of producer?.inputs ?? []) if (input !== undefined) visit(input);
  };
  visit(weight);
  for (const value of [effective, bias]) if (value !== undefined && isStored(value)) visit(value);
  return [...tensors];
}

interface ValueReader {
  readonly node: Node;
  readonly bound: BoundOp;
  readonly input: number;
}

/** Yields the nodes that read a parameter or state: directly, in part, or after a mask, transposition or expansion. */
function* readersOf(value: Value, inference: Inference): Generator<ValueReader> {
  const count = sizeOf(value);
  for (const { node, input } of value.uses) {
    const [output] = node.outputs;
    const bound = inference.at(node);
    if (output === undefined || bound instanceof Miss) continue;
    const otherInputs = node.inputs.filter((other, index) => other !== undefined && index !== input);
    if (inference.operand(output)?.stored === true) {
      // A tensor smaller than the result is a scale.
      const size = sizeOf(output);
      if (count !== undefined && size !== undefined && count >= size) yield* readersOf(output, inference);
    } else if (bound.parameters().includes(input) || bound.training()?.states.includes(input) === true) {
      yield { node, bound, input };
    } else if (
      otherInputs.length > 0 &&
      otherInputs.every((other) => other?.type !== undefined && !isFloat(other.type.type))
    ) {
      yield* readersOf(output, inference);
    }
  }
}

/** Returns whether a tensor is a normalization's scale or shift, or a bias (recurrent layers have two-dimensional biases). */
function isBiasOrScale({ node, bound, input }: ValueReader): boolean {
  const roles = rolesOf(bound);
  if (roles.length > 0) return roles.every((role) => role.input !== input);
  const scales = bound.scales().filter((scale) => bound.parameters().includes(scale));
  return scales.some((scale) => scale === input || sizeOf(node.inputs[scale]) === sizeOf(node.inputs[input]));
}

const rolesOf = (bound: BoundOp): readonly WeightRole[] => {
  const roles = bound.weights();
  return roles instanceof Miss ? [] : roles;
};

function sizeOf(value: Value | undefined): number | undefined {
  const dims = fixedDims(value?.type?.dims);
  return dims === undefined ? undefined : elementCount(dims);
}

/** Returns layers with quantized weights, except those that read a trained palette or scale. */
export function quantizedWeights(model: Model, inference: Inference, trained: readonly Value[] = []): readonly Miss[] {
  const trainedDependents = downstreamValues(model.graph, trained, inference);
  return layersOf(model, inference).flatMap(({ name, weight }) => {
    const type = weight.tensor?.type;
    return type === undefined || isFloat(type) || isCombinedWithAny(weight, trainedDependents)
      ? []
      : [new Miss(`its weight is stored as ${type} and is not changed`, name)];
  });
}

/** Returns whether a node combines a quantized tensor with one of these values before it becomes a float. */
function isCombinedWithAny(quantizedTensor: Value, values: ReadonlySet<Value>): boolean {
  const integers = new Set([quantizedTensor]);
  for (const value of integers) {
    for (const { node } of value.uses) {
      if (node.inputs.some((input) => input !== undefined && values.has(input))) return true;
      for (const output of node.outputs)
        if (output?.type !== undefined && !isFloat(output.type.type)) integers.add(output);
    }
  }
  return false;
}
