/**
 * Finds the repeated blocks of a network, such as transformer layers, from its graph alone, without names:
 * 1. Cut the sequence of nodes that depend on parameters where a single value is alive (`cut-points.ts`).
 * 2. If a value that is alive in most of a part prevents a cut, ignore the value and cut again.
 * 3. Give parts that differ only in trained values the same structure id (`structureText`).
 * 4. Find the ids that repeat one after another, and make one block of each repetition.
 */
import type { Attribute, Graph, Model, Node, Tensor, Value } from "#graph";
import { allGraphs, dimsText, extract, groupBy, nodeText, sortTopologically, subgraphs, usedValues } from "#graph";
import { cutPoints, findDependents, producersOf } from "./cut-points.ts";
import { downstreamValues } from "./downstream.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers } from "./layers.ts";
import { parametersOf } from "./parameters.ts";
import { findRepeats, type Repeat } from "./repeats.ts";

export interface Block {
  /** The common prefix of the block's layer names ("encoder.layer.3"), or the name of an output. */
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  /** The other values that the block reads, such as masks and positions. */
  readonly sideInputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly layers: readonly string[];
  /** A number that is equal for blocks that differ only in trained values. */
  readonly structureId: number;
}

export function findBlocks(
  model: Model,
  inference: Inference,
): { readonly blocks: readonly Block[]; readonly repeats: readonly (readonly Block[])[] } {
  const { graph } = model;
  const parameters = parametersOf(model, inference);
  const context: Context = {
    graph,
    inference,
    dependents: findDependents(graph, parameters, inference),
    structureIds: new Map(),
    boundaries: new Map(),
  };
  const parts = divideNodes(producersOf(graph, context.dependents), context);
  const runs = repeatsOfSegments(parts, context);
  const joinedParts: { readonly nodes: readonly Node[]; readonly run: number | undefined }[] = [];
  let next = 0;
  for (const [run, { start, period, count }] of runs.entries()) {
    for (; next < start; next++) joinedParts.push({ nodes: parts[next]?.nodes ?? [], run: undefined });
    for (let piece = 0; piece < count; piece++, next += period)
      joinedParts.push({ nodes: joinNodes(parts.slice(next, next + period)), run });
  }
  for (; next < parts.length; next++) joinedParts.push({ nodes: parts[next]?.nodes ?? [], run: undefined });

  const layersByNode = groupBy(layers(model, inference), ({ node }) => node);
  const blocksWithRuns = joinedParts.map(({ nodes, run }) => ({ block: blockOf(nodes, layersByNode, context), run }));
  return {
    blocks: blocksWithRuns.map(({ block }) => block),
    repeats: runs.map((_, index) => blocksWithRuns.flatMap(({ block, run }) => (run === index ? [block] : []))),
  };
}

/** Returns a block as a separate model, whose values keep their names. */
export function extractBlock(model: Model, { inputs, sideInputs, outputs }: Omit<Block, "structureId">): Model {
  return extract(model, outputs, [...inputs, ...sideInputs]);
}

interface Context {
  readonly graph: Graph;
  readonly inference: Inference;
  readonly dependents: ReadonlySet<Value>;
  readonly structureIds: Map<string, number>;
  readonly boundaries: Map<readonly Node[], Boundary>;
}

/** Returns the nodes of all parts. A single part keeps its array, because arrays are the keys of `boundaries`. */
function joinNodes(parts: readonly NodeSegment[]): readonly Node[] {
  const [first] = parts;
  return first !== undefined && parts.length === 1 ? first.nodes : parts.flatMap(({ nodes }) => nodes);
}

/** Consecutive nodes, and the values that are ignored when the nodes are cut. */
interface NodeSegment {
  readonly nodes: readonly Node[];
  readonly ignored: ReadonlySet<Value>;
}

/** Cuts nodes at all cut points. Then cuts each part again, ignoring values that are alive in most of the part. */
function divideNodes(nodes: readonly Node[], context: Context): readonly NodeSegment[] {
  let parts: readonly NodeSegment[] = cutSegment({ nodes, ignored: new Set() }, context);
  /** Structures of parts that no cut divides into repetitions, so that further parts with them are skipped. */
  const structuresWithoutRepeats = new Set<number>();
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index];
    if (part === undefined || part.nodes.length < minNodes) continue;
    const { structureId } = boundaryOf(part.nodes, context);
    if (structuresWithoutRepeats.has(structureId)) continue;
    const pieces = cutAroundLongLived(parts, index, part, context);
    if (pieces === undefined) structuresWithoutRepeats.add(structureId);
    else parts = parts.toSpliced(index--, 1, ...pieces);
  }
  return parts;
}

const minNodes = 8;
/** The maximum number of long-lived values that are ignored together. */
const maxIgnoredValues = 4;

/** Cuts a part while ignoring its longest-lived values. */
function cutAroundLongLived(
  parts: readonly NodeSegment[],
  index: number,
  part: NodeSegment,
  context: Context,
): readonly NodeSegment[] | undefined {
  const longLived = longestLivedValues(part, context).slice(0, maxIgnoredValues);
  const candidates = [
    ...longLived.map((value) => [value]),
    ...longLived.map((_, last) => longLived.slice(0, last + 1)).slice(1),
  ];
  for (const candidate of candidates) {
    const ignored = new Set([...part.ignored, ...candidate]);
    const makers = new Set(exclusiveProducersOf(candidate, part.nodes));
    const remainingNodes = makers.size === 0 ? part.nodes : part.nodes.filter((node) => !makers.has(node));
    const pieces = cutSegment({ nodes: remainingNodes, ignored }, context);
    if (makers.size > 0) pieces.unshift({ nodes: [...makers], ignored: part.ignored });
    const next = parts.toSpliced(index, 1, ...pieces);
    if (pieces.length > 1 && hasRepeats(next, index, pieces.length, candidate, context)) return pieces;
  }
  return undefined;
}

/** Returns whether pieces repeat. Pieces of one residual block do not count: all depend on its input, but few read it. */
function hasRepeats(
  parts: readonly NodeSegment[],
  index: number,
  pieceCount: number,
  ignoredValues: readonly Value[],
  context: Context,
): boolean {
  let dependents: ReadonlySet<Value> | undefined;
  const dependsOnIgnored = (value: Value): boolean => {
    dependents ??= downstreamValues(context.graph, ignoredValues, context.inference);
    return dependents.has(value);
  };
  return repeatsOfSegments(parts, context).some(({ start, period, count }) => {
    if (start >= index + pieceCount || start + period * count <= index) return false;
    const valuesPerPiece = Array.from({ length: count }, (_, piece) =>
      parts
        .slice(start + piece * period, start + (piece + 1) * period)
        .flatMap(({ nodes }) => nodes.flatMap(usedValues)),
    );
    const isReadByAll = valuesPerPiece.every((used) => used.some((value) => ignoredValues.includes(value)));
    const isLarge = period > 1 || valuesPerPiece.some((used) => used.length >= minNodes);
    return isReadByAll || (isLarge && !valuesPerPiece.flat().some(dependsOnIgnored));
  });
}

function repeatsOfSegments(parts: readonly NodeSegment[], context: Context): readonly Repeat[] {
  return findRepeats(
    parts.map(({ nodes }) => boundaryOf(nodes, context).structureId),
    parts.map(({ nodes }) => nodes.length),
  );
}

function longestLivedValues({ nodes, ignored }: NodeSegment, { dependents }: Context): readonly Value[] {
  const [producerIndex, lastReaderIndex] = [new Map<Value, number>(), new Map<Value, number>()];
  nodes.forEach((node, index) => {
    for (const value of usedValues(node))
      if (dependents.has(value) && !ignored.has(value)) lastReaderIndex.set(value, index);
    for (const output of node.outputs) if (output !== undefined) producerIndex.set(output, index);
  });
  const lifetime = (value: Value): number => (lastReaderIndex.get(value) ?? 0) - (producerIndex.get(value) ?? -1);
  return [...lastReaderIndex.keys()]
    .filter((value) => lifetime(value) > nodes.length / 2)
    .sort((a, b) => lifetime(b) - lifetime(a));
}

/** Returns the nodes that compute these values, unless other nodes read their intermediate results. */
function exclusiveProducersOf(values: readonly Value[], nodes: readonly Node[]): readonly Node[] {
  const makers = new Set<Node>();
  const neededValues = new Set(values);
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => output !== undefined && neededValues.has(output))) continue;
    makers.add(node);
    for (const value of usedValues(node)) neededValues.add(value);
  }
  const isShared = [...makers].some((node) =>
    node.outputs.some(
      (output) =>
        output !== undefined && !values.includes(output) && [...output.uses].some((use) => !makers.has(use.node)),
    ),
  );
  return isShared ? [] : nodes.filter((node) => makers.has(node));
}

function cutSegment({ nodes, ignored }: NodeSegment, { dependents }: Context): NodeSegment[] {
  const ends = new Set(cutPoints(nodes, dependents, ignored).map(({ producer }) => producer));
  const pieces: Node[][] = [[]];
  for (const node of nodes) {
    pieces.at(-1)?.push(node);
    if (ends.has(node)) pieces.push([]);
  }
  return pieces.filter((piece) => piece.length > 0).map((piece) => ({ nodes: piece, ignored }));
}

type Boundary = Pick<Block, "inputs" | "sideInputs" | "outputs" | "structureId">;

function boundaryOf(nodes: readonly Node[], context: Context): Boundary {
  const cachedBoundary = context.boundaries.get(nodes);
  if (cachedBoundary !== undefined) return cachedBoundary;
  const edges = boundaryValuesOf(nodes, context);
  const text = structureText(edges.outputs, [...edges.inputs, ...edges.sideInputs]);
  const structureId = context.structureIds.get(text) ?? context.structureIds.size;
  context.structureIds.set(text, structureId);
  const boundary = { ...edges, structureId };
  context.boundaries.set(nodes, boundary);
  return boundary;
}

function blockOf(nodes: readonly Node[], layersByNode: ReadonlyMap<Node, readonly Layer[]>, context: Context): Block {
  const { structureId, ...edges } = boundaryOf(nodes, context);
  const layerNames = nodes.flatMap((node) => (layersByNode.get(node) ?? []).map(({ name }) => name));
  return {
    name: commonName(layerNames) ?? edges.outputs[0]?.name ?? nodes[0]?.name ?? "",
    nodes,
    ...edges,
    layers: layerNames,
    structureId,
  };
}

function boundaryValuesOf(nodes: readonly Node[], context: Context): Omit<Boundary, "structureId"> {
  const members = new Set(nodes);
  const producedValues = new Set(nodes.flatMap((node) => node.outputs.filter((output) => output !== undefined)));
  const inputs = new Set<Value>();
  const sideInputs = new Set<Value>();
  for (const node of nodes) {
    for (const value of usedValues(node)) {
      if (producedValues.has(value) || isStored(value, context)) continue;
      if (context.dependents.has(value)) inputs.add(value);
    }
  }
  /** Values that are computed only from the block's values, the sizes of its inputs, and stored tensors. */
  const derivedValues = new Set<Value>();
  const isDerived = (value: Value): boolean =>
    producedValues.has(value) || inputs.has(value) || isStored(value, context) || derivedValues.has(value);
  const makersOf = (node: Node): readonly Node[] =>
    usedValues(node).flatMap((value) =>
      isDerived(value) || context.dependents.has(value) || value.producer === undefined ? [] : [value.producer],
    );
  for (const node of sortTopologically(nodes.flatMap(makersOf), makersOf, nodeText))
    if (usedValues(node).every(isDerived))
      for (const output of node.outputs) if (output !== undefined) derivedValues.add(output);
  for (const node of nodes) {
    for (const value of usedValues(node)) if (!inputs.has(value) && !isDerived(value)) sideInputs.add(value);
  }
  const outputs = [...producedValues].filter(
    (value) =>
      context.graph.isOutput(value) ||
      (context.dependents.has(value) && [...readersOf(value)].some((reader) => !members.has(reader))),
  );
  return { inputs: [...inputs], sideInputs: [...sideInputs], outputs };

  /** Returns the nodes of the main graph with dependent outputs that read a value, directly or in a subgraph. */
  function readersOf(value: Value): readonly Node[] {
    return [...value.uses]
      .map((use) => outermostNode(use.node, context.graph))
      .filter((reader) => reader.outputs.some((output) => output !== undefined && context.dependents.has(output)));
  }
}

function isStored(value: Value, { inference }: Context): boolean {
  return value.tensor !== undefined || inference.operand(value)?.stored === true;
}

/** Returns the node of `graph` that contains a node in its subgraphs, or is the node. */
export function outermostNode(node: Node, graph: Graph): Node {
  let ancestor = node;
  while (ancestor.graph !== graph && ancestor.graph.parent !== undefined) ancestor = ancestor.graph.parent;
  return ancestor;
}

/** Returns the longest common prefix of names: "layer.3" for "layer.3.query" and "layer.3.output". */
function commonName(names: readonly string[]): string | undefined {
  const [first, ...rest] = names.map((name) => name.split(/[./]/));
  if (first === undefined) return undefined;
  if (rest.length === 0) return names[0];
  const end = first.findIndex((part, index) => rest.some((other) => other[index] !== part));
  const common = first.slice(0, end < 0 ? first.length : end).join(".");
  return common === "" ? undefined : common;
}

export function joinBlocks(model: Model, run: readonly Block[], all: readonly Block[]): Omit<Block, "structureId"> {
  const members = new Set(run);
  const readElsewhere = new Set(all.flatMap((block) => (members.has(block) ? [] : block.inputs)));
  const producedValues = new Set(run.flatMap(({ nodes }) => nodes.flatMap(({ outputs }) => outputs)));
  const unique = (values: readonly Value[]): readonly Value[] => [...new Set(values)];
  const layerNames = run.flatMap(({ layers: names }) => names);
  const outputs = run
    .flatMap((block) => block.outputs)
    .filter((value) => readElsewhere.has(value) || model.graph.isOutput(value));
  return {
    name: commonName(layerNames) ?? rangeName(layerNames) ?? run[0]?.name ?? "",
    nodes: run.flatMap(({ nodes }) => nodes),
    inputs: unique(run.flatMap(({ inputs }) => inputs.filter((value) => !producedValues.has(value)))),
    sideInputs: unique(run.flatMap(({ sideInputs }) => sideInputs)),
    outputs,
    layers: layerNames,
  };
}

function rangeName(names: readonly string[]): string | undefined {
  const [first, last] = [names[0], names.at(-1)];
  return first === undefined || last === undefined ? undefined : `${first} … ${last}`;
}

/** Returns a text that is equal for blocks that differ only in trained values. */
function structureText(outputs: readonly Value[], inputs: readonly Value[]): string {
  const labels = new Map<Value, string>(inputs.map((value, index) => [value, `in${index}`]));
  const sources = (values: readonly Value[]): Node[] =>
    values.flatMap((value) => (labels.has(value) || value.producer === undefined ? [] : [value.producer]));
  const nodes = sortTopologically(sources(outputs), (node) => sources(usedValues(node)), nodeText);
  const lines = inputs.map(({ type }) => `${type?.type ?? "?"} ${type?.dims?.length ?? "?"}`);
  let count = 0;
  const name = (value: Value | undefined): string => {
    if (value === undefined) return "-";
    const label = labels.get(value);
    if (label !== undefined) return label;
    const text = `v${count++}`;
    labels.set(value, text);
    if (value.tensor !== undefined) return `${text}=${tensorText(value.tensor)}`;
    return value.producer === undefined ? `${text}=fed` : text;
  };
  for (const node of nodes) {
    const readValues = [...node.inputs, ...usedValues(node).filter((value) => !node.inputs.includes(value))];
    const subgraphOps = subgraphs(node).flatMap((graph) =>
      [...allGraphs(graph)].map((part) => [...part.nodes()].map(({ op }) => op).join()),
    );
    const attributes = [...node.attributes].map(([key, value]) => `${key}=${attributeText(value)}`).sort();
    const parts = [node.domain, node.op, readValues.map(name), attributes, subgraphOps, node.outputs.map(name)];
    lines.push(parts.join(" "));
  }
  return [...lines, outputs.map(name).join()].join("\n");
}

function tensorText({ type, dims, small }: Tensor): string {
  const isListed = small !== undefined && (type === "int64" || type === "int32");
  const elements = isListed ? `{${Array.from(small.data as ArrayLike<unknown>, String).join()}}` : "";
  return `${type}${dimsText(dims)}${elements}`;
}

function attributeText(attribute: Attribute): string {
  switch (attribute.kind) {
    case "tensor":
      return tensorText(attribute.value);
    case "tensors":
      return attribute.value.map(tensorText).join();
    case "graph":
    case "graphs":
      return "graph";
    default:
      return String(attribute.value);
  }
}
