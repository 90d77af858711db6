/**
 * Finds trained tensors: those that operator definitions call parameters, unless the graph shows that they are constants. `untrained.ts` and
 * `fixed-tables.ts` recognize further constants by their elements. Constants visible in the graph are:
 * - frequencies of rotary positions: a vector times 0, 1, 2, …, independent of float inputs and trained values;
 * - means and standard deviations of images, applied to inputs before any trained operator;
 * - the ones and zeros of a normalization that is followed by a separate scale and shift;
 * - weights with a single value throughout, which sum or average.
 */
import { Miss } from "../errors.ts";
import { allGraphs, type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Bound } from "../ops/define.ts";
import { entryOf } from "../ops/index.ts";
import { isFloat } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import { cachePerRevision } from "./remembered.ts";
import { storedRoot } from "./stored-root.ts";
import { isConstantWeight, isUnitNormalization } from "./untrained.ts";

/** Returns the trained tensors: values with the role `parameter`, and float tensors that operators use as parameters and that have no other role. */
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

/** Returns all stored tensors that operators use as parameters, including quantized ones. */
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
  (model, inference) => [...readsIn(model, inference)],
);

function* readsIn(model: Model, inference: Inference): Generator<ParameterRead, void, undefined> {
  for (const graph of allGraphs(model.graph)) {
    // In subgraphs, the operator definitions alone decide, because the inputs of subgraphs are unknown.
    const search = graph.parent === undefined ? new ParameterSearch(graph, inference) : undefined;
    for (const node of graph.nodes()) {
      const bound = inference.at(node);
      const trained = search?.trainedInputs(node) ?? (bound instanceof Miss ? [] : bound.parameters());
      search?.visit(node, trained.length > 0 || multipliesCodes(bound));
      if (bound instanceof Miss || isUnitNormalization(node, bound, inference)) continue;
      for (const input of trained) {
        const value = node.inputs[input];
        if (value === undefined) continue;
        for (const root of rootsOf(search?.spread.get(value) ?? value, inference))
          if (!isConstant(node, bound, input, root)) yield { node, input, root };
      }
    }
  }
}

function isConstant(node: Node, bound: Bound, input: number, weight: Value): boolean {
  const roles = bound.weights();
  const role = roles instanceof Miss ? undefined : roles.find((role) => role.input === input);
  return role !== undefined && isConstantWeight({ node, role, weight });
}

/** Returns whether a node is a layer with integer weights. These are trained, although no definition calls them parameters. */
function multipliesCodes(bound: Bound | Miss): boolean {
  return !(bound instanceof Miss) && bound.parameters().length === 0 && !(bound.weights() instanceof Miss);
}

/**
 * Yields the stored tensors behind a value: the tensor itself, the one it is a slice of (fused attention
 * matrices), or those it concatenates (reordered gates).
 */
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
  /** Maps values that repeat a stored tensor for a batch, or slice it to a length, to that tensor. */
  readonly spread = new Map<Value, Value>();
  readonly #inference: Inference;
  /** Values that depend on a parameter. */
  readonly #learned = new Set<Value>();
  /** Values that depend on a parameter or a data input. Data inputs are floats or bytes (images); other integers are positions and token ids. */
  readonly #data = new Set<Value>();

  constructor(graph: Graph, inference: Inference) {
    this.#inference = inference;
    for (const feed of graph.feeds) {
      const type = feed.type?.type;
      if (type === undefined || isFloat(type) || type === "uint8" || type === "int8") this.#data.add(feed);
    }
  }

  /** Returns the indices of the inputs that are trained parameters. */
  trainedInputs(node: Node): readonly number[] {
    const bound = this.#at(node);
    if (bound instanceof Miss) return [];
    return bound.parameters().filter((input) => !this.#isBuffer(node, input, bound));
  }

  /** Records whether the outputs of a node depend on parameters or data. */
  visit(node: Node, trained: boolean): void {
    const used = usedValues(node);
    const open = used.every((value) => this.#inference.operand(value)?.elements === undefined);
    const root = trained ? undefined : this.#spreadRoot(used);
    for (const output of node.outputs) {
      const operand = output === undefined ? undefined : this.#inference.operand(output);
      if (output === undefined || (open && operand?.elements !== undefined)) continue;
      const learned = trained || used.some((value) => this.#learned.has(value));
      if (learned) this.#learned.add(output);
      if (learned || used.some((value) => this.#data.has(value))) this.#data.add(output);
      if (root !== undefined && operand?.stored === false && isFloatValue(output)) this.spread.set(output, root);
    }
  }

  #at(node: Node): Bound | Miss {
    const bound = this.#inference.at(node);
    if (bound instanceof Miss || !node.inputs.some((input) => input !== undefined && this.spread.has(input)))
      return bound;
    const site = this.#inference.site(node);
    const inputs = site.inputs.map((operand, input) => {
      const value = node.inputs[input];
      return operand !== undefined && value !== undefined && this.spread.has(value)
        ? { ...operand, stored: true }
        : operand;
    });
    return entryOf(node)?.at({ ...site, inputs }) ?? bound;
  }

  /** Returns the single stored tensor with several elements that a node repeats or slices; undefined if it reads other data. */
  #spreadRoot(used: readonly Value[]): Value | undefined {
    const roots = new Set<Value>();
    for (const value of used) {
      const operand = this.#inference.operand(value);
      const root = this.spread.get(value);
      if (root !== undefined) roots.add(root);
      else if (operand?.stored === true && isFloatValue(value)) {
        if ((elementsOf(value) ?? 0) > 1) roots.add(value);
      } else if (operand?.stored !== true && operand?.elements === undefined) return undefined;
    }
    const [root, ...more] = roots;
    return more.length === 0 ? root : undefined;
  }

  /** Returns whether a parameter is an untrained vector: it meets a value that no trained layer has computed. */
  #isBuffer(node: Node, input: number, bound: Bound): boolean {
    const parameter = node.inputs[input];
    const [other, ...more] = node.inputs.filter((_, index) => index !== input);
    if (parameter === undefined || other === undefined || more.length > 0) return false;
    const long = (fixedDims((this.spread.get(parameter) ?? parameter).type?.dims) ?? []).filter((size) => size !== 1);
    const operand = this.#inference.operand(other);
    if (long.length !== 1 || operand === undefined || operand.stored || this.spread.has(other)) return false;
    if (!isFloat(operand.type)) return false;
    if (bound.weights() instanceof Miss) return !this.#learned.has(other);
    const sums = operand.dims?.some((size) => size === long[0]) ?? true;
    return !sums && !this.#data.has(other);
  }
}
