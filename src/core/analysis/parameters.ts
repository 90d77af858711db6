/**
 * Finds trained tensors: stored tensors that operators use as parameters (weights, biases, scales), except constants such as
 * frequencies of rotary positions, means of images, and weights with a single value, which sum or average.
 */
import type { Graph, Model, Node, Tensor, Value } from "#graph";
import { allGraphs, elementCount, fixedDims, isFloat, Miss, toFloat64, usedValues } from "#graph";
import type { BoundOp } from "../ops/define.ts";
import { entryOf } from "../ops/index.ts";
import { cachePerRevision } from "./cache-per-revision.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";
import { weightShape } from "./weight-matrix.ts";

export function parametersOf(model: Model, inference: Inference): ReadonlySet<Value> {
  const parameters = new Set<Value>();
  for (const value of model.graph.values())
    if (value.role?.kind === "parameter" && value.tensor !== undefined) parameters.add(value);
  for (const root of parameterRoots(model, inference)) {
    if (root.role !== undefined && root.role.kind !== "parameter") continue;
    if (root.tensor !== undefined && isFloat(root.tensor.type)) parameters.add(root);
  }
  return parameters;
}

/** Returns the stored tensors that operators use as parameters, including quantized ones. */
export function parameterRoots(model: Model, inference: Inference): ReadonlySet<Value> {
  return new Set(parameterReads(model, inference).map(({ root }) => root));
}

/** An input through which a node reads a parameter, and the stored tensor behind it. */
export interface ParameterRead {
  readonly node: Node;
  readonly input: number;
  readonly root: Value;
}

export const parameterReads: (model: Model, inference: Inference) => readonly ParameterRead[] = cachePerRevision(
  (model, inference) => [...findReads(model, inference)],
);

function* findReads(model: Model, inference: Inference): Generator<ParameterRead, void, undefined> {
  for (const graph of allGraphs(model.graph)) {
    // In subgraphs, the operator definitions alone decide, because the inputs of subgraphs are unknown.
    const search = graph.parent === undefined ? new ParameterSearch(graph, inference) : undefined;
    for (const node of graph.nodes()) {
      const bound = inference.at(node);
      const trainedInputs = search?.trainedInputs(node) ?? (bound instanceof Miss ? [] : bound.parameters());
      search?.visit(node, trainedInputs.length > 0 || hasIntegerWeights(bound));
      if (bound instanceof Miss || isUnitNormalization(node, bound, inference)) continue;
      for (const input of trainedInputs) {
        const value = node.inputs[input];
        if (value === undefined) continue;
        for (const root of rootsOf(search?.rootOfRepeated.get(value) ?? value, inference))
          if (!isConstantWeight(node, bound, input, root)) yield { node, input, root };
      }
    }
  }
}

/** Returns whether a node is a layer with integer weights, which no definition calls parameters. */
function hasIntegerWeights(bound: BoundOp | Miss): boolean {
  return !(bound instanceof Miss) && bound.parameters().length === 0 && !(bound.weights() instanceof Miss);
}

/** Yields the stored tensors of a value: itself, the one it slices, or those it concatenates. */
function* rootsOf(value: Value, inference: Inference): Generator<Value, void, undefined> {
  const root = storedRoot(value);
  if (root !== undefined) {
    yield root;
    return;
  }
  const count = elementsOf(value);
  if (inference.operand(value)?.stored !== true || count === undefined) return;
  const floats = (value.producer?.inputs ?? []).flatMap((input) =>
    input !== undefined && isFloatValue(input) ? input : [],
  );
  const isJoined = floats.reduce((sum, input) => sum + (elementsOf(input) ?? 0), 0) === count;
  for (const input of floats) if (isJoined || (elementsOf(input) ?? 0) >= count) yield* rootsOf(input, inference);
}

function elementsOf(value: Value): number | undefined {
  const dims = fixedDims(value.type?.dims);
  return dims === undefined ? undefined : elementCount(dims);
}

function isFloatValue({ type }: Value): boolean {
  return type !== undefined && isFloat(type.type);
}

class ParameterSearch {
  /** Maps a value that repeats or slices a stored tensor to that tensor. */
  readonly rootOfRepeated = new Map<Value, Value>();
  readonly #inference: Inference;
  readonly #dependents = new Set<Value>();
  /** Values that depend on a parameter or a data input. Data inputs are floats or bytes (images). */
  readonly #data = new Set<Value>();

  constructor(graph: Graph, inference: Inference) {
    this.#inference = inference;
    for (const feed of graph.feeds) {
      const type = feed.type?.type;
      if (type === undefined || isFloat(type) || type === "uint8" || type === "int8") this.#data.add(feed);
    }
  }

  trainedInputs(node: Node): readonly number[] {
    const bound = this.#at(node);
    if (bound instanceof Miss) return [];
    return bound.parameters().filter((input) => !this.#isBuffer(node, input, bound));
  }

  visit(node: Node, isTrained: boolean): void {
    const inputs = usedValues(node);
    const areUnknown = inputs.every((value) => this.#inference.operand(value)?.elements === undefined);
    const root = isTrained ? undefined : this.#spreadRoot(inputs);
    for (const output of node.outputs) {
      const operand = output === undefined ? undefined : this.#inference.operand(output);
      if (output === undefined || (areUnknown && operand?.elements !== undefined)) continue;
      const dependsOnParameter = isTrained || inputs.some((value) => this.#dependents.has(value));
      if (dependsOnParameter) this.#dependents.add(output);
      if (dependsOnParameter || inputs.some((value) => this.#data.has(value))) this.#data.add(output);
      if (root !== undefined && operand?.stored === false && isFloatValue(output))
        this.rootOfRepeated.set(output, root);
    }
  }

  #at(node: Node): BoundOp | Miss {
    const bound = this.#inference.at(node);
    if (bound instanceof Miss || !node.inputs.some((input) => input !== undefined && this.rootOfRepeated.has(input)))
      return bound;
    const site = this.#inference.site(node);
    const inputs = site.inputs.map((operand, input) => {
      const value = node.inputs[input];
      return operand !== undefined && value !== undefined && this.rootOfRepeated.has(value)
        ? { ...operand, stored: true }
        : operand;
    });
    return entryOf(node)?.at({ ...site, inputs }) ?? bound;
  }

  /** Returns the stored tensor that a node repeats or slices. */
  #spreadRoot(values: readonly Value[]): Value | undefined {
    const roots = new Set<Value>();
    for (const value of values) {
      const operand = this.#inference.operand(value);
      const root = this.rootOfRepeated.get(value);
      if (root !== undefined) roots.add(root);
      else if (operand?.stored === true && isFloatValue(value)) {
        if ((elementsOf(value) ?? 0) > 1) roots.add(value);
      } else if (operand?.stored !== true && operand?.elements === undefined) return undefined;
    }
    const [root, ...more] = roots;
    return more.length === 0 ? root : undefined;
  }

  /** Returns whether an input is an untrained vector, such as frequencies or image means. */
  #isBuffer(node: Node, input: number, bound: BoundOp): boolean {
    const parameter = node.inputs[input];
    const [other, ...furtherInputs] = node.inputs.filter((_, index) => index !== input);
    if (parameter === undefined || other === undefined || furtherInputs.length > 0) return false;
    const longDims = (fixedDims((this.rootOfRepeated.get(parameter) ?? parameter).type?.dims) ?? []).filter(
      (size) => size !== 1,
    );
    const operand = this.#inference.operand(other);
    if (longDims.length !== 1 || operand === undefined || operand.stored || this.rootOfRepeated.has(other))
      return false;
    if (!isFloat(operand.type)) return false;
    if (bound.weights() instanceof Miss) return !this.#dependents.has(other);
    const isSummedOver = operand.dims?.some((size) => size === longDims[0]) ?? true;
    return !isSummedOver && !this.#data.has(other);
  }
}

/** Returns the value of all elements of a small float tensor. */
function uniformElement(tensor: Tensor | undefined): number | undefined {
  const small = tensor?.small;
  if (small === undefined || !isFloat(small.type)) return undefined;
  const numbers = toFloat64(small);
  const [first] = numbers;
  return first !== undefined && numbers.every((entry) => entry === first) ? first : undefined;
}

/** Returns whether a layer's weight only sums or averages: one output (per group) and equal elements, as in a blur. */
function isConstantWeight(node: Node, bound: BoundOp, input: number, weight: Value): boolean {
  const roles = bound.weights();
  const role = roles instanceof Miss ? undefined : roles.find((role) => role.input === input);
  if (role === undefined) return false;
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  // A tensor with one value per output is a trained scale.
  const isScale = elementCount(dims) === dims[role.out];
  if (weight.role !== undefined || weightShape(role, dims).outputs !== 1 || isScale) return false;
  return (uniformElement(weight.tensor) ?? 0) !== 0;
}

/** Returns whether a normalization has scale 1 and shift 0, and a separate stored scale follows, as exporters write GroupNorm. */
function isUnitNormalization(node: Node, bound: BoundOp, inference: Inference): boolean {
  const parameters = bound.parameters();
  const scales = bound.scales().filter((input) => parameters.includes(input));
  if (scales.length === 0 || !(bound.weights() instanceof Miss)) return false;
  const isUnit = parameters.every((input) => {
    const value = node.inputs[input];
    const expected = scales.includes(input) ? 1 : 0;
    return value?.role === undefined && uniformElement(value?.tensor) === expected;
  });
  return isUnit && isScaledDownstream(node.outputs[0], inference);
}

function isScaledDownstream(value: Value | undefined, inference: Inference): boolean {
  const [use, ...more] = value?.uses ?? [];
  const bound = use === undefined ? undefined : inference.at(use.node);
  if (use === undefined || more.length > 0 || bound === undefined || bound instanceof Miss) return false;
  const affine = bound.affine();
  if (!(affine instanceof Miss) && affine.kind === "arithmetic")
    return affine.inputs.some((input) => bound.scales().includes(input) && bound.parameters().includes(input));
  const rule = bound.quantize();
  const isRearranged = !(rule instanceof Miss) && rule.kind === "transparent" && use.input === 0;
  return isRearranged && isScaledDownstream(use.node.outputs[0], inference);
}
