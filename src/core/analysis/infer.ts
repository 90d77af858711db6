/** Infers the type, the dimensions and, if possible, the elements of values, by calling the operator definitions in node order. */
import type { Dim, Graph, LocalFunction, Model, Node, Tensor, Value } from "#graph";
import {
  addDims,
  functionOf,
  isUnknownDim,
  Miss,
  nodeText,
  PithError,
  subgraphs,
  unknownDim,
  whyNotInlined,
} from "#graph";
import type { BoundOp } from "../ops/define.ts";
import type { Body, Inferred, Operand, Site } from "../ops/entry.ts";
import { entryOf, ownEntryOf } from "../ops/index.ts";
import { FunctionCalls } from "./function-calls.ts";
import { createFixedPointInference } from "./loop-fixed-point.ts";
import { ValueTypes } from "./value-types.ts";

export interface Inference {
  readonly misses: readonly Miss[];
  /** Returns what is known about a value. Undefined if the type is unknown. */
  operand(value: Value): Operand | undefined;
  /** Returns the inputs, attributes and opset version of a node, in the form that definitions read. */
  site(node: Node): Site;
  /** Returns the definition bound to a node; a Miss if it cannot be applied. */
  at(node: Node): BoundOp | Miss;
  /** Returns one property that the operator definition states about a node, such as `weights` or `axes`. */
  facet<F extends PlainFacet>(node: Node, facet: F): Facet<F> | undefined;
  /** Infers the outputs of one node again. */
  visit(node: Node): void;
}

type PlainFacet = { [F in keyof BoundOp]: BoundOp[F] extends () => unknown ? F : never }[keyof BoundOp];
type Facet<F extends PlainFacet> = Exclude<ReturnType<BoundOp[F]>, Miss>;

interface CachedInference {
  readonly revision: number;
  readonly opsets: string;
  readonly functions: Model["functions"];
  readonly inference: Inference;
}

const cache = new WeakMap<Graph, CachedInference>();

/** Infers the values of a model without reading weights. Cached until the model changes. */
export function infer(model: Model): Inference {
  const { graph, functions } = model;
  const opsets = [...model.opsets].join();
  const cachedEntry = cache.get(graph);
  if (cachedEntry?.revision === graph.revision && cachedEntry.opsets === opsets && cachedEntry.functions === functions)
    return cachedEntry.inference;
  const inference = new ModelInference(model);
  cache.set(graph, { revision: graph.revision, opsets, functions, inference });
  return inference;
}

export function isRandom(node: Node): boolean {
  return seedKind(node) !== undefined;
}

/** Returns whether equal inputs give equal outputs. Operators without a definition count as random. */
export function isDeterministic(node: Node): boolean {
  return entryOf(node) !== undefined && !isRandom(node);
}

/** Returns the attribute kind of a random node's seed. */
export function seedKind(node: Node): "float" | "int" | undefined {
  const tensorOf = ({ tensor, producer }: Value): Tensor | "computed" =>
    tensor ?? (producer && entryOf(producer)?.holds?.((name) => producer.attributes.get(name))) ?? "computed";
  return entryOf(node)?.seedKind?.(node.inputs.map((value) => value && tensorOf(value)));
}

/** Returns the model function that a node calls, unless a custom operator with a Pith definition replaces it. */
export function calledFunction(model: Model, node: Node): LocalFunction | undefined {
  return ownEntryOf(node) === undefined ? functionOf(model, node) : undefined;
}

class ModelInference implements Inference {
  readonly #model: Model;
  readonly #types = new ValueTypes();
  readonly #calls: FunctionCalls;
  readonly #settle = createFixedPointInference();
  readonly #misses = new Map<Node, Miss>();
  /** Subgraphs that were inferred since the visit of their node began. */
  readonly #inferredGraphs = new Set<Graph>();

  constructor(model: Model) {
    this.#model = model;
    this.#calls = new FunctionCalls(model, this.#types, (body) => this.#inferGraph(body));
    this.#inferGraph(model.graph);
  }

  get misses() {
    return [...this.#misses.values()];
  }

  readonly operand = this.#types.operandOf;

  readonly at = this.#cached((node: Node): BoundOp | Miss => this.#bind(node));

  readonly #macsOf = this.#cached((graph: Graph): Dim | Miss => {
    let sum: Dim = 0;
    for (const node of graph.nodes()) {
      const bound = this.at(node);
      const nodeCost = bound instanceof Miss ? bound : bound.cost();
      if (nodeCost instanceof Miss) return new Miss(nodeCost.reason, nodeCost.at ?? nodeText(node));
      sum = addDims(sum, nodeCost.macs);
    }
    return sum;
  });

  readonly site = (node: Node): Site => ({
    version: this.#calls.versionOf(node),
    inputs: this.#types.inputsOf(node),
    outputs: node.outputs.length,
    attribute: (name) => node.attributes.get(name),
    open: (output, axis) => unknownDim(this.#types.dimName(node, output), axis),
    body: (name) => {
      const attribute = node.attributes.get(name);
      return attribute?.kind === "graph" ? this.#bodyOf(attribute.value) : undefined;
    },
  });

  facet<F extends PlainFacet>(node: Node, facet: F): Facet<F> | undefined {
    const bound = this.at(node);
    const result = bound instanceof Miss ? bound : bound[facet]();
    return result instanceof Miss ? undefined : (result as Facet<F>);
  }

  readonly visit = (node: Node): void => {
    this.#calls.countVisit();
    this.#misses.delete(node);
    this.#inferInputs(node);
    const innerGraphs = subgraphs(node);
    for (const graph of innerGraphs) this.#inferredGraphs.delete(graph);
    const local = calledFunction(this.#model, node);
    const outputs =
      local === undefined ? this.#inferOutputs(node) : withNodeInErrors(node, () => this.#calls.infer(node, local));
    // Also infers subgraphs that the definition did not request, such as branches that are not taken.
    for (const graph of innerGraphs) if (!this.#inferredGraphs.has(graph)) this.#inferTolerantly(graph, node);
    const isStored =
      innerGraphs.length === 0 &&
      local === undefined &&
      !isRandom(node) &&
      node.inputs.every((input) => input === undefined || this.operand(input)?.stored === true);
    const unknownOutput =
      outputs instanceof Miss
        ? -1
        : node.outputs.findIndex((value, index) => value !== undefined && outputs[index] === undefined);
    if (outputs instanceof Miss) this.#misses.set(node, new Miss(outputs.reason, nodeText(node)));
    else if (unknownOutput >= 0)
      this.#misses.set(node, new Miss(`the type of output ${unknownOutput} is not known`, nodeText(node)));
    // If the definition fails, the outputs get the element type of the input that the definition declares to have the same type.
    // Before opset 7, elementwise operators had its dimensions, too, because only the second operand was broadcast.
    const { sameType = -1, byElement } = entryOf(node) ?? {};
    const [source, keepsDims] = [node.inputs[sameType], byElement && this.#calls.versionOf(node) < 7];
    const { type, dims, container } = (source && this.operand(source)) ?? {};
    const fallbackType = type && container === undefined ? { type, dims: keepsDims ? dims : undefined } : undefined;
    node.outputs.forEach((value, index) => {
      if (value !== undefined)
        this.#types.record(value, outputs instanceof Miss ? fallbackType : outputs[index], isStored);
    });
  };

  /** Returns a function that caches results until the graph or a recorded type changes. */
  #cached<K, R>(compute: (key: K) => R): (key: K) => R {
    const results = new Map<K, R>();
    let [revision, changes] = [-1, -1];
    return (key) => {
      const { graph } = this.#model;
      if (revision !== graph.revision || changes !== this.#types.changes) results.clear();
      [revision, changes] = [graph.revision, this.#types.changes];
      const cachedResult = results.get(key);
      if (cachedResult !== undefined) return cachedResult;
      const result = compute(key);
      results.set(key, result);
      return result;
    };
  }

  #bodyOf(graph: Graph): Body {
    return {
      inputs: graph.inputs.map((value) => value.stated),
      infer: (inputs) => {
        graph.inputs.forEach((value, index) => {
          const input = inputs[index];
          if (input !== undefined) this.#types.record(value, input, false);
        });
        this.#inferGraph(graph);
        return graph.outputs.map(this.operand);
      },
      inferFixedPoint: this.#settle(graph),
      macs: () => this.#macsOf(graph),
    };
  }

  #bind(node: Node): BoundOp | Miss {
    const local = calledFunction(this.#model, node);
    if (local !== undefined) {
      const reason = whyNotInlined(this.#model, local);
      const advice = reason === undefined ? "run `simplify` first, which inlines it" : reason;
      return new Miss(`calls a function of the model: ${advice}`, nodeText(node));
    }
    const op = entryOf(node);
    if (op === undefined) return new Miss("Pith does not know this operator", nodeText(node));
    for (const input of node.inputs) {
      if (!this.#types.isPresent(input)) continue;
      const inputOperand = this.operand(input);
      if (inputOperand === undefined) return new Miss("the type of an input is not known", nodeText(node));
      if (inputOperand.container !== undefined && op.containers === undefined)
        return new Miss(`does not take a ${inputOperand.container.kind}`, nodeText(node));
    }
    const bound = withNodeInErrors(node, () => op.at(this.site(node)));
    return bound instanceof Miss ? new Miss(bound.reason, nodeText(node)) : bound;
  }

  #inferOutputs(node: Node): readonly (Inferred | undefined)[] | Miss {
    const bound = this.#bind(node);
    return bound instanceof Miss ? bound : withNodeInErrors(node, () => bound.infer());
  }

  /** Infers the types of computed inputs from the node's other inputs (`mustBe` of the operator definition). */
  #inferInputs(node: Node): void {
    const mustBe = entryOf(node)?.mustBe;
    const isUntyped = (value: Value | undefined): value is Value =>
      value?.producer !== undefined &&
      this.operand(value)?.dims === undefined &&
      this.operand(value)?.container === undefined;
    if (mustBe === undefined || !node.inputs.some(isUntyped)) return;
    for (const { input, type } of mustBe(this.site(node))) {
      const value = node.inputs[input];
      if (!isUntyped(value) || (this.operand(value)?.type ?? type.type) !== type.type) continue;
      const dims = type.dims?.map((dim, axis) => (isUnknownDim(dim) ? unknownDim(value.name, axis) : dim));
      this.#types.record(value, { type: type.type, dims }, false);
    }
  }

  #inferTolerantly(graph: Graph, node: Node): void {
    try {
      this.#inferGraph(graph);
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
      this.#misses.set(node, new Miss(error.message, nodeText(node)));
    }
  }

  #inferGraph(graph: Graph): void {
    this.#inferredGraphs.add(graph);
    for (const node of graph.nodes()) this.visit(node);
  }
}

function withNodeInErrors<R>(node: Node, task: () => R): R {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw error.reworded({ at: nodeText(node) });
  }
}
