/**
 * Which stored tensors are trained: what operators take as parameters, as their entries say, where the network computes something with it.
 *
 * Exports hold other stored numbers in the same places, which were not trained. What the graph tells of them is asked here, what only their
 * numbers tell in `untrained.ts` and `fixed-tables.ts`:
 *
 * - frequencies of rotary positions are a vector times the positions 0, 1, 2, …: numbers that depend neither on an input of floats nor on
 *   anything trained;
 * - means and deviations of images shift and scale what is fed, before anything trained;
 * - ones and zeros of a normalization whose own scale and shift follow it;
 * - weights of one number throughout, which add up or average.
 */
import { Miss } from "../errors.ts";
import { allGraphs, type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Bound, entryOf } from "../ops/index.ts";
import { isFloat } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";
import { remembering } from "./remembered.ts";
import { storedRoot } from "./stored-root.ts";
import { isConstantWeight, isUnitNormalization } from "./untrained.ts";

/**
 * The parameters of a model: values with that role, and the floating-point tensors that operators consume as parameters. A value with any
 * other role (mask, buffer, state) is none.
 */
export function parametersOf(model: Model, inference: Inference): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const value of model.graph.values())
    if (value.role?.kind === "parameter" && value.tensor !== undefined) found.add(value);
  for (const root of parameterRoots(model, inference)) {
    if (root.role !== undefined && root.role.kind !== "parameter") continue;
    if (root.tensor !== undefined && isFloat(root.tensor.type)) found.add(root);
  }
  return found;
}

/** The stored tensors behind what operators consume as parameters, whatever their type and role, in graphs inside nodes too. */
export function parameterRoots(model: Model, inference: Inference): ReadonlySet<Value> {
  return new Set(parameterReads(model, inference).map(({ root }) => root));
}

export interface ParameterRead {
  readonly node: Node;
  readonly input: number;
  readonly root: Value;
}

export const parameterReads: (model: Model, inference: Inference) => readonly ParameterRead[] = remembering(
  (model, inference) => [...readsIn(model, inference)],
);

function* readsIn(model: Model, inference: Inference): Generator<ParameterRead, void, undefined> {
  for (const graph of allGraphs(model.graph)) {
    // What reaches a graph inside a node is not known: there entries alone decide.
    const known = graph.parent === undefined ? new ParameterSearch(graph, inference) : undefined;
    for (const node of graph.nodes()) {
      const bound = inference.at(node);
      const trained = known?.trainedInputs(node) ?? (bound instanceof Miss ? [] : bound.parameters());
      known?.visit(node, trained.length > 0 || multipliesCodes(bound));
      if (bound instanceof Miss || isUnitNormalization(node, bound, inference)) continue;
      for (const input of trained) {
        const value = node.inputs[input];
        if (value === undefined) continue;
        for (const root of rootsOf(known?.spread.get(value) ?? value, inference))
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

/** A layer on codes: they are trained numbers, which no entry calls parameters. */
function multipliesCodes(bound: Bound | Miss): boolean {
  return !(bound instanceof Miss) && bound.parameters().length === 0 && !(bound.weights() instanceof Miss);
}

/** The tensor that a value is stored as, or those that it is a part of, as the three matrices of attention, or is joined of, as reordered gates. */
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
  /** Stored numbers that were repeated for a batch, or cut to the length of a text: from the value to what is stored. */
  readonly spread = new Map<Value, Value>();
  readonly #inference: Inference;
  readonly #learned = new Set<Value>();
  /** Depend on a parameter or an input that holds data: positions and token numbers are integers, images may be bytes. */
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

  /** The entry of a node, for which what is spread counts as stored. */
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

  /** The one tensor of several numbers that a node works on, besides sizes. */
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

  /** Whether an operand that the entry takes for a parameter is a vector that belongs to no layer. */
  #isBuffer(node: Node, input: number, bound: Bound): boolean {
    const own = node.inputs[input];
    const [other, ...more] = node.inputs.filter((_, at) => at !== input);
    if (own === undefined || other === undefined || more.length > 0) return false;
    const long = (fixedDims((this.spread.get(own) ?? own).type?.dims) ?? []).filter((size) => size !== 1);
    const operand = this.#inference.operand(other);
    if (long.length !== 1 || operand === undefined || operand.stored || this.spread.has(other)) return false;
    if (!isFloat(operand.type)) return false;
    if (bound.weights() instanceof Miss) return !this.#learned.has(other);
    const sums = operand.dims?.some((size) => size === long[0]) ?? true;
    return !sums && !this.#data.has(other);
  }
}
