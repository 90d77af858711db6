/** Finds values that are quantized later: a rewrite that reorders a sum changes last bits, and rounding can turn this into a full step. */
import { allNodes, bitsOf, type DataType, isFloat, type Model, type Node, subgraphs, type Value } from "#graph";
import { entryOf } from "../ops/index.ts";
import type { Inference } from "./infer.ts";

/** Returns a function that tells whether a node's output may be quantized later. */
export function createRoundingTest(model: Model, inference: Inference): (node: Node) => boolean {
  const quantizingNodes = new Set<Node>();
  const steppingNodes = new Set<Node>();
  for (const node of allNodes(model.graph)) {
    if (quantizesActivations(node, inference)) quantizingNodes.add(node);
    if (entryOf(node)?.inSteps === true) steppingNodes.add(node);
  }
  const isByElement = (node: Node): boolean => {
    if (entryOf(node)?.byElement === true) return true;
    return inference.facet(node, "affine") !== undefined || inference.facet(node, "quantize")?.kind === "clamp";
  };
  // Searches the graph at each call, because rewrites also ask about nodes that they just added.
  return (node) =>
    (quantizingNodes.size > 0 && canReach(node, quantizingNodes)) ||
    (steppingNodes.size > 0 && canReach(node, steppingNodes, isByElement));
}

export function hasQuantizedActivations(model: Model, inference: Inference): boolean {
  return [...allNodes(model.graph)].some((node) => quantizesActivations(node, inference));
}

function quantizesActivations({ inputs, outputs }: Node, inference: Inference): boolean {
  const readsComputedFloats = inputs.some(
    (input) =>
      input?.type !== undefined &&
      isFloat(input.type.type) &&
      inference.operand(input)?.stored !== true &&
      !isQuantizedValue(input),
  );
  return readsComputedFloats && (outputs.some(isQuantizedValue) || inputs.some(isQuantizedValue));
}

function isQuantizedValue(value: Value | undefined): boolean {
  return isQuantizedType(value?.type?.type);
}

/** Returns whether a type is used for quantized values. Integers above 16 bits are counts or indices. */
function isQuantizedType(type: DataType | undefined): boolean {
  return type !== undefined && type !== "string" && type !== "bool" && bitsOf[type] <= 16 && !isFloat(type);
}

function canReach(start: Node, targets: ReadonlySet<Node>, canPass: (node: Node) => boolean = () => true): boolean {
  const seen = new Set<Value>();
  const pending: Value[] = [];
  const addPending = (values: readonly (Value | undefined)[]): void => {
    for (const value of values) {
      if (value === undefined || seen.has(value)) continue;
      seen.add(value);
      pending.push(value);
    }
  };
  addPending(start.outputs);
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    for (const { node } of value.uses) {
      if (targets.has(node)) return true;
      if (!canPass(node)) continue;
      addPending(node.outputs);
      for (const inner of subgraphs(node)) addPending(inner.inputs);
    }
    // The outputs of a subgraph leave through its node, or enter the next iteration of a loop.
    const { graph } = value;
    if (graph.parent === undefined || !graph.isOutput(value)) continue;
    addPending(graph.parent.outputs);
    addPending(graph.inputs);
  }
  return false;
}

/** Returns whether a node converts between float types, or quantizes or dequantizes with stored scales. */
export function convertsQuantization({ inputs, outputs }: Node, inference: Inference): boolean {
  const [input, ...scales] = inputs;
  const [output] = outputs;
  if (input === undefined || output === undefined) return false;
  const [from, to] = [input, output].map((value) => inference.operand(value)?.type);
  if (!isFloatOrQuantized(from) || !isFloatOrQuantized(to) || from === to || !(isFloat(from) || isFloat(to)))
    return false;
  return scales.every((value) => value === undefined || inference.operand(value)?.stored === true);
}

/** Returns the values that the readers of `value` receive, after quantization and dequantization with stored scales. */
export function receivedValues(value: Value, inference: Inference): readonly Value[] {
  const codes = [...value.uses].map(({ node }) => (isRounding(node, inference) ? node.outputs[0] : undefined));
  if (codes.length === 0 || value.graph.isOutput(value) || codes.includes(undefined)) return [value];
  const readers = codes.flatMap((code) => [...(code?.uses ?? [])].map(({ node }) => node));
  const dequantizers = readers.filter(
    (node) => convertsQuantization(node, inference) && isFloatValue(node.outputs[0], inference),
  );
  return dequantizers.length === readers.length ? dequantizers.flatMap(({ outputs }) => outputs[0] ?? []) : [];
}

function isRounding(node: Node, inference: Inference): boolean {
  return (
    convertsQuantization(node, inference) && node.outputs.length === 1 && !isFloatValue(node.outputs[0], inference)
  );
}

function isFloatValue(value: Value | undefined, inference: Inference): boolean {
  const type = value === undefined ? undefined : inference.operand(value)?.type;
  return type !== undefined && isFloat(type);
}

function isFloatOrQuantized(type: DataType | undefined): type is DataType {
  return type !== undefined && (isFloat(type) || isQuantizedType(type));
}

/** Returns the stored factors that scale an integer result, as in Mul(Cast(MatMulInteger(a, weight, z)), Mul(s, scale)). */
export function outputScaleFactors({ outputs: [result] }: Node, inference: Inference): readonly Value[] {
  for (let value = result; value !== undefined; ) {
    const [use] = value.uses;
    if (use === undefined || value.uses.size > 1) return [];
    const { node, input } = use;
    const otherInputs = node.inputs.filter(
      (other, index) => index !== input && other !== undefined,
    ) as readonly Value[];
    const codesEntry = entryOf(node)?.codes?.find((entry) => entry.input === input);
    const scale = codesEntry?.scale === undefined ? undefined : node.inputs[codesEntry.scale];
    const factors = scale === undefined ? (isFactor(node, input, inference) ? otherInputs : []) : [scale];
    const scaleFactors = factors.flatMap((factor) => storedFactors(factor, inference));
    if (scaleFactors.length > 0) return scaleFactors;
    if (
      factors.length === 0 &&
      !(otherInputs.length === 0 && !isFloatValue(value, inference) && isFloatValue(node.outputs[0], inference))
    )
      return [];
    value = node.outputs[0];
  }
  return [];
}

function isFactor(node: Node, input: number, inference: Inference): boolean {
  const products = inference.facet(node, "homogeneous")?.products ?? [];
  const [product] = products;
  return product?.includes(input) === true && products.length === 1 && node.inputs.length === product.length;
}

function storedFactors(value: Value, inference: Inference): readonly Value[] {
  if (inference.operand(value)?.stored === true) return [value];
  const { producer } = value;
  if (producer === undefined || !isFactor(producer, 0, inference)) return [];
  return producer.inputs.flatMap((input) => (input === undefined ? [] : storedFactors(input, inference)));
}
