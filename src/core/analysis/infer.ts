/**
 * Infers the type, the dimensions and, if possible, the elements of every value, by calling the operator definitions in node order.
 * - Results are stored in `value.inferred`. A type that the file states is saved unchanged, even if inference knows more.
 * - If a definition cannot infer a type, the type that the file states is used, and `misses` lists the reason.
 * - A subgraph is inferred when the definition of its node requests it (`Site.body`).
 * - Calls of model functions are inferred once per set of equal operands and attributes.
 * - `visit` infers a single new node, so that emitted graphs are typed at once.
 */
import type { Dim, Graph, LocalFunction, Model, Node, Tensor, Value } from "#graph";
import {
  addDims,
  describe,
  functionOf,
  identity,
  instantiate,
  isUnknownDim,
  Miss,
  Names,
  nameInDim,
  PithError,
  subgraphs,
  unknownDim,
  unknownDimsIn,
  whyNotInlined,
} from "#graph";
import type { Bound } from "../ops/define.ts";
import type { Body, Inferred, Operand, Site } from "../ops/entry.ts";
import { entryOf, ownEntryOf } from "../ops/index.ts";
import { describeStored } from "../ops/shared/elements.ts";
import { containerOperand } from "../ops/shared/merge-types.ts";
import { createSettle } from "./settle.ts";

export interface Inference {
  /** Reasons why values could not be inferred, with the nodes' names. */
  readonly misses: readonly Miss[];
  /** Returns what is known about a value: its type, and possibly dimensions and elements. Undefined if the type is unknown. */
  operand(value: Value): Operand | undefined;
  /** Returns the inputs, attributes and opset version of a node, in the form that definitions read. */
  site(node: Node): Site;
  /** Returns the definition bound to a node; a Miss if the operator or an input type is unknown. */
  at(node: Node): Bound | Miss;
  /** Returns one property that the operator definition states about a node, such as `weights` or `axes`; undefined if it states none. */
  facet<F extends PlainFacet>(node: Node, facet: F): Facet<F> | undefined;
  /** Infers the outputs of one node again. */
  visit(node: Node): void;
}

type PlainFacet = { [F in keyof Bound]: Bound[F] extends () => unknown ? F : never }[keyof Bound];
type Facet<F extends PlainFacet> = Exclude<ReturnType<Bound[F]>, Miss>;

interface CachedInference {
  readonly revision: number;
  readonly opsets: string;
  readonly functions: Model["functions"];
  readonly inference: Inference;
}

const cache = new WeakMap<Graph, CachedInference>();

/**
 * Infers all values of a model without reading weights. Visits each node once, and more often in loops. The result is cached until the model changes.
 */
export function infer(model: Model): Inference {
  const { graph, functions } = model;
  const opsets = [...model.opsets].join();
  const cached = cache.get(graph);
  if (cached?.revision === graph.revision && cached.opsets === opsets && cached.functions === functions)
    return cached.inference;
  const inference = inferModel(model);
  cache.set(graph, { revision: graph.revision, opsets, functions, inference });
  return inference;
}

/** Returns whether a node draws random numbers. Such nodes are never folded to constants or merged with equal nodes. */
export function isRandom(node: Node): boolean {
  return seedKind(node) !== undefined;
}

/** Returns the attribute kind of a random node's seed; undefined for nodes that are not random. */
export function seedKind(node: Node): "float" | "int" | undefined {
  const tensorOf = ({ tensor, producer }: Value): Tensor | "computed" =>
    tensor ?? (producer && entryOf(producer)?.holds?.((name) => producer.attributes.get(name))) ?? "computed";
  return entryOf(node)?.random?.(node.inputs.map((value) => value && tensorOf(value)));
}

/**
 * Returns the model function that a node calls. Custom operators with a Pith definition are excluded, because
 * their function bodies serve other runtimes.
 */
export function calledFunction(model: Model, node: Node): LocalFunction | undefined {
  return ownEntryOf(node) === undefined ? functionOf(model, node) : undefined;
}

function inferModel(model: Model): Inference {
  const operands = new Map<Value, Operand>();
  const missByNode = new Map<Node, Miss>();
  /** The name of each value's unknown dimensions. Values of two subgraphs can share a name, but these names must differ. */
  const dimNames = new Map<Value, string>();
  const names = new Names();
  /** Subgraphs that were inferred since the current visit of their node began. */
  const inferredGraphs = new Set<Graph>();
  /** Function bodies of calls with a data-dependent output size. */
  const callBodies = new Map<Node, Graph>();
  const opsetsOf = new Map<Graph, ReadonlyMap<string, number>>([[model.graph, model.opsets]]);
  /** Inputs of function bodies that the call leaves out. */
  const omittedInputs = new Set<Value>();
  const activeFunctions = new Set<LocalFunction>();
  /** Outputs of functions by call text: function, attributes and operands. */
  const resultsByCall = new Map<string, readonly (Operand | undefined)[]>();
  let visitedInCalls = 0;
  const settle = createSettle();
  /** Caches of `at` and `Body.macs`, valid for the graph revision `cacheRevision`. */
  const boundByNode = new Map<Node, Bound | Miss>();
  const macsByGraph = new Map<Graph, Dim | Miss>();
  let cacheRevision = -1;

  const operand = (value: Value): Operand | undefined => {
    const recorded = operands.get(value);
    if (recorded !== undefined) return recorded;
    const { tensor, type, foreign } = value;
    if (tensor !== undefined) {
      const constant = { ...describeStored(tensor.type, tensor.dims, tensor.small), stored: true };
      operands.set(value, constant);
      return constant;
    }
    if (type !== undefined) return { ...type, stored: false };
    return foreign?.container === undefined ? undefined : { ...containerOperand(foreign.container), stored: false };
  };

  const dimName = (node: Node, output: number): string => {
    const value = node.outputs[output];
    if (value === undefined) return `${node.outputs.find((other) => other !== undefined)?.name ?? node.name}:${output}`;
    const assignedNames = dimNames.get(value);
    if (assignedNames !== undefined) return assignedNames;
    const name = names.fresh(nameInDim(value.name));
    names.take(name);
    dimNames.set(value, name);
    return name;
  };

  const versionFor = ({ domain, graph }: Node): number => {
    let root = graph;
    while (root.parent !== undefined) root = root.parent.graph;
    const opsets = opsetsOf.get(root) ?? model.opsets;
    return opsets.get(domain) ?? 1;
  };

  const site = (node: Node): Site => ({
    version: versionFor(node),
    inputs: node.inputs.map((input) => (input === undefined || omittedInputs.has(input) ? undefined : operand(input))),
    outputs: node.outputs.length,
    attribute: (name) => node.attributes.get(name),
    open: (output, axis) => unknownDim(dimName(node, output), axis),
    body: (name) => {
      const attribute = node.attributes.get(name);
      return attribute?.kind === "graph" ? bodyOf(attribute.value) : undefined;
    },
  });

  const bodyOf = (graph: Graph): Body => ({
    inputs: graph.inputs.map((value) => value.stated),
    infer: (inputs) => {
      graph.inputs.forEach((value, index) => {
        const input = inputs[index];
        if (input !== undefined) record(value, input, false);
      });
      inferInner(graph);
      return graph.outputs.map(operand);
    },
    settle: settle(graph),
    macs: () => {
      forgetOutdated();
      const macs = macsByGraph.get(graph) ?? macsOf(graph);
      macsByGraph.set(graph, macs);
      return macs;
    },
    get nested() {
      for (const node of graph.nodes())
        if (subgraphs(node).length > 0 || calledFunction(model, node) !== undefined) return true;
      return false;
    },
  });

  const macsOf = (graph: Graph): Dim | Miss => {
    let sum: Dim = 0;
    for (const node of graph.nodes()) {
      const bound = at(node);
      const nodeCost = bound instanceof Miss ? bound : bound.cost();
      if (nodeCost instanceof Miss) return new Miss(nodeCost.reason, nodeCost.at ?? describe(node));
      sum = addDims(sum, nodeCost.macs);
    }
    return sum;
  };

  const forgetOutdated = (): void => {
    const { revision } = model.graph;
    if (cacheRevision === revision) return;
    boundByNode.clear();
    macsByGraph.clear();
    cacheRevision = revision;
  };

  const at = (node: Node): Bound | Miss => {
    forgetOutdated();
    const cached = boundByNode.get(node);
    if (cached !== undefined) return cached;
    const bound = bind(node);
    boundByNode.set(node, bound);
    return bound;
  };

  const bind = (node: Node): Bound | Miss => {
    const local = calledFunction(model, node);
    if (local !== undefined) {
      const reason = whyNotInlined(model, local);
      const advice = reason === undefined ? "run `pith simplify` first, which inlines it" : reason;
      return new Miss(`calls a function of the model: ${advice}`, describe(node));
    }
    const op = entryOf(node);
    if (op === undefined) return new Miss("Pith does not know this operator", describe(node));
    for (const input of node.inputs) {
      if (input === undefined || omittedInputs.has(input)) continue;
      const inputOperand = operand(input);
      if (inputOperand === undefined) return new Miss("the type of an input is not known", describe(node));
      if (inputOperand.container !== undefined && op.containers === undefined)
        return new Miss(`does not take a ${inputOperand.container.kind}`, describe(node));
    }
    const bound = withNodeInErrors(node, () => op.at(site(node)));
    return bound instanceof Miss ? new Miss(bound.reason, describe(node)) : bound;
  };

  const inferCall = (node: Node, local: LocalFunction): readonly (Inferred | undefined)[] | Miss => {
    if (activeFunctions.has(local)) return new Miss("calls itself");
    if (activeFunctions.size >= maxDepth) return new Miss(`its calls are nested more than ${maxDepth} deep`);
    const inputs = node.inputs.map((input) =>
      input === undefined || omittedInputs.has(input) ? undefined : operand(input),
    );
    const operands = operandsText(inputs);
    const call = JSON.stringify([identity(local), attributesText(node), operands]);
    const cached = resultsByCall.get(call);
    if (cached !== undefined) return cached;
    if (visitedInCalls > maxCallNodes)
      return new Miss(
        `calls of functions expand to more than the ${maxCallNodes.toLocaleString("en")} nodes that are looked into`,
      );
    const body = callBodies.get(node) ?? instantiate(local, node);
    opsetsOf.set(body, local.opsets);
    body.inputs.forEach((value, index) => {
      const input = inputs[index];
      if (input === undefined) omittedInputs.add(value);
      else {
        omittedInputs.delete(value);
        record(value, input, input.stored);
      }
    });
    activeFunctions.add(local);
    try {
      inferInner(body);
    } finally {
      activeFunctions.delete(local);
    }
    const outputs = body.outputs.map(operand);
    // A data-dependent size is specific to one call, so the results of other calls cannot share it.
    const operandDims = unknownDimsIn(operands);
    if ([...unknownDimsIn(operandsText(outputs))].every((dim) => operandDims.has(dim)))
      resultsByCall.set(call, outputs);
    else callBodies.set(node, body);
    return outputs;
  };

  /** Records what was inferred about a value. The type that the file states fills in unknown dimensions. */
  const record = (value: Value, inferred: Inferred | undefined, stored: boolean): void => {
    cacheRevision = -1;
    const { stated, foreign } = value;
    if (inferred?.container !== undefined || (inferred === undefined && foreign?.container !== undefined)) {
      const container = inferred?.container ?? foreign?.container;
      if (container !== undefined) operands.set(value, { ...containerOperand(container), stored: false });
      value.inferred = undefined;
      return;
    }
    const type = inferred?.type ?? stated?.type;
    if (type === undefined) {
      value.inferred = undefined;
      operands.delete(value);
      return;
    }
    if (inferred?.dims !== undefined && !inferred.dims.some(isUnknownDim)) {
      value.inferred = { type, dims: inferred.dims };
      operands.set(value, { ...inferred, stored });
      return;
    }
    const statedDims = stated?.type === type ? stated.dims : undefined;
    const rank = inferred?.dims?.length;
    // The file can state a size that inference leaves unknown.
    const dims =
      inferred?.dims?.map((dim, axis) => {
        const statedDim = isUnknownDim(dim) && statedDims?.length === rank ? statedDims?.[axis] : undefined;
        return statedDim === undefined || isUnknownDim(statedDim) ? dim : statedDim;
      }) ?? statedDims;
    value.inferred = { type, dims };
    operands.set(value, { ...inferred, type, dims, stored });
  };

  const inferOutputs = (node: Node): readonly (Inferred | undefined)[] | Miss => {
    const bound = bind(node);
    return bound instanceof Miss ? bound : withNodeInErrors(node, () => bound.infer());
  };

  /** Infers the types of inputs whose producer is unknown from the node's other inputs (`mustBe` of the operator definition). */
  const inferInputs = (node: Node): void => {
    const mustBe = entryOf(node)?.mustBe;
    const isUntyped = (value: Value | undefined): value is Value =>
      value?.producer !== undefined && operand(value)?.dims === undefined && operand(value)?.container === undefined;
    if (mustBe === undefined || !node.inputs.some(isUntyped)) return;
    for (const { input, type } of mustBe(site(node))) {
      const value = node.inputs[input];
      if (!isUntyped(value) || (operand(value)?.type ?? type.type) !== type.type) continue;
      const dims = type.dims?.map((dim, axis) => (isUnknownDim(dim) ? unknownDim(value.name, axis) : dim));
      record(value, { type: type.type, dims }, false);
    }
  };

  const visit = (node: Node): void => {
    if (activeFunctions.size > 0) visitedInCalls++;
    missByNode.delete(node);
    inferInputs(node);
    const innerGraphs = subgraphs(node);
    for (const graph of innerGraphs) inferredGraphs.delete(graph);
    const local = calledFunction(model, node);
    const outputs = local === undefined ? inferOutputs(node) : withNodeInErrors(node, () => inferCall(node, local));
    // Also infers subgraphs that the definition did not request, such as branches that are not taken. Errors in them become misses.
    for (const graph of innerGraphs) if (!inferredGraphs.has(graph)) walkTolerantly(graph, node);
    const stored =
      innerGraphs.length === 0 &&
      local === undefined &&
      !isRandom(node) &&
      node.inputs.every((input) => input === undefined || operand(input)?.stored === true);
    const unknownOutput =
      outputs instanceof Miss
        ? -1
        : node.outputs.findIndex((value, index) => value !== undefined && outputs[index] === undefined);
    if (outputs instanceof Miss) missByNode.set(node, new Miss(outputs.reason, describe(node)));
    else if (unknownOutput >= 0)
      missByNode.set(node, new Miss(`the type of output ${unknownOutput} is not known`, describe(node)));
    // If the definition fails, the outputs get the element type of the input that the definition declares to have the same type.
    const sameTypeInput = entryOf(node)?.sameType;
    const source = sameTypeInput === undefined ? undefined : node.inputs[sameTypeInput];
    const sourceOperand = source === undefined ? undefined : operand(source);
    const typeOnly =
      sourceOperand === undefined || sourceOperand.container !== undefined
        ? undefined
        : { type: sourceOperand.type, dims: undefined };
    node.outputs.forEach((value, index) => {
      if (value !== undefined) record(value, outputs instanceof Miss ? typeOnly : outputs[index], stored);
    });
  };

  const walkTolerantly = (graph: Graph, node: Node): void => {
    try {
      inferInner(graph);
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
      missByNode.set(node, new Miss(error.message, describe(node)));
    }
  };

  const inferInner = (graph: Graph): void => {
    inferredGraphs.add(graph);
    for (const node of graph.nodes()) visit(node);
  };
  inferInner(model.graph);
  return {
    get misses() {
      return [...missByNode.values()];
    },
    operand,
    site,
    at,
    facet(node, facet) {
      const bound = at(node);
      const result = bound instanceof Miss ? bound : bound[facet]();
      return result instanceof Miss ? undefined : (result as Facet<typeof facet>);
    },
    visit,
  };
}

/** The maximum depth of nested calls. Exporters nest functions because they write each module as a function. */
const maxDepth = 50;
/** The maximum number of nodes that are visited in function bodies. Calls with equal operands share one visit. */
const maxCallNodes = 50_000;

function operandsText(operands: readonly (Operand | undefined)[]): string {
  return JSON.stringify(
    operands.map((operand) =>
      operand?.small === undefined ? operand : { ...operand, small: identity(operand.small.data) },
    ),
  );
}

function attributesText({ attributes }: Node): string {
  return JSON.stringify(
    Array.from(attributes, ([name, attribute]) => {
      const { kind, value } = attribute;
      const isNumeric = kind === "int" || kind === "float" || kind === "ints" || kind === "floats";
      return [name, kind, isNumeric || typeof value === "string" ? String(value) : identity(value)];
    }),
  );
}

function withNodeInErrors<R>(node: Node, task: () => R): R {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw error.reworded({ at: describe(node) });
  }
}
