/**
 * Infers types, dimensions and small contents of every value by asking each operator definition in order.
 * Fills in `value.inferred`, which is not saved if the file states a type. Stated types hold where a definition cannot tell; the reason is listed.
 * Subgraphs are inferred when their node's definition asks (`Site.body`), calls of model functions per set of equal operands and attributes.
 * New nodes are inferred one by one (`visit`), so that emitted graphs are typed at once.
 */
import { Miss, PithError } from "../errors.ts";
import { functionOf, instantiate, type LocalFunction, whyNotInlined } from "../graph/functions.ts";
import { describe, type Graph, type Node, subgraphs, type Value } from "../graph/graph.ts";
import { identity } from "../graph/hash.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/shared.ts";
import type { Bound } from "../ops/define.ts";
import type { Body, Inferred, Operand, Site } from "../ops/entry.ts";
import { entryOf, ownEntryOf } from "../ops/index.ts";
import { storedFacts } from "../ops/shared/elements.ts";
import { containerOperand } from "../ops/shared/merge-types.ts";
import { addDims, type Dim, isUnknownDim, nameInDim, unknownDim, unknownDimsIn } from "../tensor/dims.ts";
import { settling } from "./settle.ts";

export interface Inference {
  readonly misses: readonly Miss[];
  /** Returns the type, dimensions and elements of a value, as far as they are known; undefined if its type is not. */
  operand(value: Value): Operand | undefined;
  site(node: Node): Site;
  /** Returns the definition applied to a node; a Miss for an unknown operator. */
  at(node: Node): Bound | Miss;
  /** Returns a facet of a node's definition; undefined if the definition lacks it, or if the operator is unknown. */
  facet<F extends PlainFacet>(node: Node, facet: F): Facet<F> | undefined;
  visit(node: Node): void;
}

/** The facets that take no arguments. */
type PlainFacet = { [F in keyof Bound]: Bound[F] extends () => unknown ? F : never }[keyof Bound];
type Facet<F extends PlainFacet> = Exclude<ReturnType<Bound[F]>, Miss>;

interface CachedInference {
  readonly revision: number;
  readonly opsets: string;
  readonly functions: Model["functions"];
  readonly inference: Inference;
}

const cache = new WeakMap<Graph, CachedInference>();

/** Infers all values of a model: one visit per node, more in loops; no weights are read. The result is cached until the model changes. */
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

/** Returns whether a node draws random numbers: it is never evaluated in advance and never merged. */
export function isRandom(node: Node): boolean {
  return seedKind(node) !== undefined;
}

export function seedKind(node: Node): "float" | "int" | undefined {
  return entryOf(node)?.random?.(node.inputs);
}

/** Returns the model function that a node calls. Custom operators are excluded: their function body is for other runtimes. */
export function calledFunction(model: Model, node: Node): LocalFunction | undefined {
  return ownEntryOf(node) === undefined ? functionOf(model, node) : undefined;
}

function inferModel(model: Model): Inference {
  const facts = new Map<Value, Operand>();
  const missed = new Map<Node, Miss>();
  /** Values of sibling graphs can share a name, but their unknown dimensions cannot. */
  const named = new Map<Value, string>();
  const names = new Names();
  const walked = new Set<Graph>();
  const calls = new Map<Node, Graph>();
  const opsetsOf = new Map<Graph, ReadonlyMap<string, number>>([[model.graph, model.opsets]]);
  const absent = new Set<Value>();
  const active = new Set<LocalFunction>();
  const returned = new Map<string, readonly (Operand | undefined)[]>();
  let visitedInCalls = 0;
  const settle = settling();
  /** Caches of `at` and `Body.macs`, valid for the revision `appliedAt`. */
  const applied = new Map<Node, Bound | Miss>();
  const summed = new Map<Graph, Dim | Miss>();
  let appliedAt = -1;

  const operand = (value: Value): Operand | undefined => {
    const fact = facts.get(value);
    if (fact !== undefined) return fact;
    const { tensor, type, foreign } = value;
    if (tensor !== undefined) {
      const constant = { ...storedFacts(tensor.type, tensor.dims, tensor.small), stored: true };
      facts.set(value, constant);
      return constant;
    }
    if (type !== undefined) return { ...type, stored: false };
    return foreign?.container === undefined ? undefined : { ...containerOperand(foreign.container), stored: false };
  };

  const ownName = (node: Node, output: number): string => {
    const value = node.outputs[output];
    if (value === undefined) return `${node.outputs.find((other) => other !== undefined)?.name ?? node.name}:${output}`;
    const before = named.get(value);
    if (before !== undefined) return before;
    const name = names.fresh(nameInDim(value.name));
    names.take(name);
    named.set(value, name);
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
    inputs: node.inputs.map((input) => (input === undefined || absent.has(input) ? undefined : operand(input))),
    outputs: node.outputs.length,
    attribute: (name) => node.attributes.get(name),
    open: (output, axis) => unknownDim(ownName(node, output), axis),
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
        if (input !== undefined) learn(value, input, false);
      });
      walk(graph);
      return graph.outputs.map(operand);
    },
    settle: settle(graph),
    macs: () => {
      forgetOutdated();
      const macs = summed.get(graph) ?? macsOf(graph);
      summed.set(graph, macs);
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
    if (appliedAt === revision) return;
    applied.clear();
    summed.clear();
    appliedAt = revision;
  };

  const at = (node: Node): Bound | Miss => {
    forgetOutdated();
    const before = applied.get(node);
    if (before !== undefined) return before;
    const bound = apply(node);
    applied.set(node, bound);
    return bound;
  };

  const apply = (node: Node): Bound | Miss => {
    const local = calledFunction(model, node);
    if (local !== undefined) {
      const reason = whyNotInlined(model, local);
      const advice = reason === undefined ? "run `pith simplify` first, which inlines it" : reason;
      return new Miss(`calls a function of the model: ${advice}`, describe(node));
    }
    const op = entryOf(node);
    if (op === undefined) return new Miss("Pith does not know this operator", describe(node));
    for (const input of node.inputs) {
      if (input === undefined || absent.has(input)) continue;
      const fact = operand(input);
      if (fact === undefined) return new Miss("the type of an input is not known", describe(node));
      if (fact.container !== undefined && op.containers === undefined)
        return new Miss(`does not take a ${fact.container.kind}`, describe(node));
    }
    const bound = placed(node, () => op.at(site(node)));
    return bound instanceof Miss ? new Miss(bound.reason, describe(node)) : bound;
  };

  const called = (node: Node, local: LocalFunction): readonly (Inferred | undefined)[] | Miss => {
    if (active.has(local)) return new Miss("calls itself");
    if (active.size >= maxDepth) return new Miss(`its calls are nested more than ${maxDepth} deep`);
    const inputs = node.inputs.map((input) => (input === undefined || absent.has(input) ? undefined : operand(input)));
    const operands = operandsText(inputs);
    const call = JSON.stringify([identity(local), attributesText(node), operands]);
    const before = returned.get(call);
    if (before !== undefined) return before;
    if (visitedInCalls > maxVisited)
      return new Miss(
        `calls of functions expand to more than the ${maxVisited.toLocaleString("en")} nodes that are looked into`,
      );
    const body = calls.get(node) ?? instantiate(local, node);
    opsetsOf.set(body, local.opsets);
    body.inputs.forEach((value, index) => {
      const input = inputs[index];
      if (input === undefined) absent.add(value);
      else {
        absent.delete(value);
        learn(value, input, input.stored);
      }
    });
    active.add(local);
    try {
      walk(body);
    } finally {
      active.delete(local);
    }
    const outputs = body.outputs.map(operand);
    // A data-dependent size is specific to one call, so that result is not shared.
    const outside = unknownDimsIn(operands);
    if ([...unknownDimsIn(operandsText(outputs))].every((dim) => outside.has(dim))) returned.set(call, outputs);
    else calls.set(node, body);
    return outputs;
  };

  /** Records the inferred facts of a value; the file's stated type fills gaps. */
  const learn = (value: Value, inferred: Inferred | undefined, stored: boolean): void => {
    appliedAt = -1;
    const { stated, foreign } = value;
    if (inferred?.container !== undefined || (inferred === undefined && foreign?.container !== undefined)) {
      const container = inferred?.container ?? foreign?.container;
      if (container !== undefined) facts.set(value, { ...containerOperand(container), stored: false });
      value.inferred = undefined;
      return;
    }
    const type = inferred?.type ?? stated?.type;
    if (type === undefined) {
      value.inferred = undefined;
      facts.delete(value);
      return;
    }
    if (inferred?.dims !== undefined && !inferred.dims.some(isUnknownDim)) {
      value.inferred = { type, dims: inferred.dims };
      facts.set(value, { ...inferred, stored });
      return;
    }
    const statedDims = stated?.type === type ? stated.dims : undefined;
    const rank = inferred?.dims?.length;
    // The file can state a data-dependent size.
    const dims =
      inferred?.dims?.map((dim, axis) => {
        const better = isUnknownDim(dim) && statedDims?.length === rank ? statedDims?.[axis] : undefined;
        return better === undefined || isUnknownDim(better) ? dim : better;
      }) ?? statedDims;
    value.inferred = { type, dims };
    facts.set(value, { ...inferred, type, dims, stored });
  };

  const inferred = (node: Node): readonly (Inferred | undefined)[] | Miss => {
    const bound = apply(node);
    return bound instanceof Miss ? bound : placed(node, () => bound.infer());
  };

  /** Infers an untyped input from a node's other inputs. */
  const learnInputs = (node: Node): void => {
    const mustBe = entryOf(node)?.mustBe;
    const open = (value: Value | undefined): value is Value =>
      value?.producer !== undefined && operand(value)?.dims === undefined && operand(value)?.container === undefined;
    if (mustBe === undefined || !node.inputs.some(open)) return;
    for (const { input, type } of mustBe(site(node))) {
      const value = node.inputs[input];
      if (!open(value) || (operand(value)?.type ?? type.type) !== type.type) continue;
      const dims = type.dims?.map((dim, axis) => (isUnknownDim(dim) ? unknownDim(value.name, axis) : dim));
      learn(value, { type: type.type, dims }, false);
    }
  };

  const visit = (node: Node): void => {
    if (active.size > 0) visitedInCalls++;
    missed.delete(node);
    learnInputs(node);
    const inner = subgraphs(node);
    for (const graph of inner) walked.delete(graph);
    const local = calledFunction(model, node);
    const outputs = local === undefined ? inferred(node) : placed(node, () => called(node, local));
    // Also visits subgraphs that the definition did not ask about (an untaken branch), ignoring errors.
    for (const graph of inner) if (!walked.has(graph)) tolerant(graph, node);
    const stored =
      inner.length === 0 &&
      local === undefined &&
      !isRandom(node) &&
      node.inputs.every((input) => input === undefined || operand(input)?.stored === true);
    const open =
      outputs instanceof Miss
        ? -1
        : node.outputs.findIndex((value, index) => value !== undefined && outputs[index] === undefined);
    if (outputs instanceof Miss) missed.set(node, new Miss(outputs.reason, describe(node)));
    else if (open >= 0) missed.set(node, new Miss(`the type of output ${open} is not known`, describe(node)));
    // Uses the input's element type if the definition cannot tell more.
    const like = entryOf(node)?.sameType;
    const source = like === undefined ? undefined : node.inputs[like];
    const fact = source === undefined ? undefined : operand(source);
    const typeOnly =
      fact === undefined || fact.container !== undefined ? undefined : { type: fact.type, dims: undefined };
    node.outputs.forEach((value, index) => {
      if (value !== undefined) learn(value, outputs instanceof Miss ? typeOnly : outputs[index], stored);
    });
  };

  const tolerant = (graph: Graph, node: Node): void => {
    try {
      walk(graph);
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
      missed.set(node, new Miss(error.message, describe(node)));
    }
  };

  const walk = (graph: Graph): void => {
    walked.add(graph);
    for (const node of graph.nodes()) visit(node);
  };
  walk(model.graph);
  return {
    get misses() {
      return [...missed.values()];
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

/** The maximum call depth: exporters write each module as a function. */
const maxDepth = 50;
/** The maximum number of calls whose results cannot be shared. */
const maxVisited = 50_000;

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
      const numbers = kind === "int" || kind === "float" || kind === "ints" || kind === "floats";
      return [name, kind, numbers || typeof value === "string" ? String(value) : identity(value)];
    }),
  );
}

/** Adds the node's name to errors. */
function placed<R>(node: Node, ask: () => R): R {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw error.reworded({ at: describe(node) });
  }
}
