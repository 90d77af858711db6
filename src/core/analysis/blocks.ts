/**
 * Finds the repeated blocks of a network from its graph alone, without names:
 * 1. Cut the nodes that depend on parameters where a single value is alive (`cut-points.ts`).
 * 2. If a value that is alive throughout prevents a cut, ignore it and cut again. Examples are an encoder's
 *    output and relative position biases.
 * 3. Give parts that differ only in trained values the same kind (`block-kind.ts`).
 * 4. Join consecutive repetitions: transformer layers, or the blocks of a stage.
 * Each node that depends on a parameter is in exactly one block. Other values that blocks read (masks, positions, sizes) are their `sides`.
 */
import { extract } from "../graph/extract.ts";
import { describe, type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { inOrder } from "../graph/order.ts";
import { groupBy } from "../tensor/group-by.ts";
import { kindOf } from "./block-kind.ts";
import { cutPoints, findDependents, nodesOf } from "./cut-points.ts";
import { downstream } from "./downstream.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers } from "./layers.ts";
import { parametersOf } from "./parameters.ts";
import { type Repeat, repeats } from "./repeats.ts";

export interface Block {
  /** The common prefix of the block's layer names ("encoder.layer.3"), or the name of the block's first output. */
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  /** The other values that the block reads; they are computed outside of all blocks. */
  readonly sides: readonly Value[];
  readonly outputs: readonly Value[];
  readonly layers: readonly string[];
  /** A number that is equal for blocks that differ only in trained values. */
  readonly kind: number;
}

export interface Blocks {
  readonly blocks: readonly Block[];
  readonly repeats: readonly (readonly Block[])[];
}

/**
 * Returns the blocks of the main graph.
 * @example
 * const { repeats } = blocks(model, infer(model));
 * for (const layers of repeats) console.log(`${layers.length} × ${layers[0]?.name}`);
 */
export function blocks(model: Model, inference: Inference): Blocks {
  const { graph } = model;
  const parameters = parametersOf(model, inference);
  const context: Context = {
    graph,
    inference,
    counted: findDependents(graph, parameters, inference),
    kinds: new Map(),
    outsides: new Map(),
  };
  const parts = divide(nodesOf(graph, context.counted), context);
  const runs = runsOf(parts, context);
  const joined: { readonly nodes: readonly Node[]; readonly run: number | undefined }[] = [];
  let next = 0;
  for (const [run, { start, period, count }] of runs.entries()) {
    for (; next < start; next++) joined.push({ nodes: parts[next]?.nodes ?? [], run: undefined });
    for (let piece = 0; piece < count; piece++, next += period)
      joined.push({ nodes: joinNodes(parts.slice(next, next + period)), run });
  }
  for (; next < parts.length; next++) joined.push({ nodes: parts[next]?.nodes ?? [], run: undefined });

  const layersOf = groupBy(layers(model, inference), ({ node }) => node);
  const all = joined.map(({ nodes, run }) => ({ block: blockOf(nodes, layersOf, context), run }));
  return {
    blocks: all.map(({ block }) => block),
    repeats: runs.map((_, index) => all.flatMap(({ block, run }) => (run === index ? [block] : []))),
  };
}

/** Returns a block as a separate model. Its inputs are `inputs`, then `sides`; values keep their names. */
export function extractBlock(model: Model, { inputs, sides, outputs }: Omit<Block, "kind">): Model {
  return extract(model, outputs, [...inputs, ...sides]);
}

interface Context {
  readonly graph: Graph;
  readonly inference: Inference;
  /** The values that depend on a parameter and are computed at run time. */
  readonly counted: ReadonlySet<Value>;
  readonly kinds: Map<string, number>;
  /** Inputs, outputs and kind for each node list, as a cache. */
  readonly outsides: Map<readonly Node[], Outside>;
}

/** Returns the nodes of all parts. A single part returns its own array, because arrays are the keys of `outsides`. */
function joinNodes(parts: readonly Part[]): readonly Node[] {
  const [first] = parts;
  return first !== undefined && parts.length === 1 ? first.nodes : parts.flatMap(({ nodes }) => nodes);
}

interface Part {
  readonly nodes: readonly Node[];
  readonly leftOut: ReadonlySet<Value>;
}

/** Cuts nodes at all cut points. Then cuts each part again, ignoring values that are alive throughout the part. */
function divide(nodes: readonly Node[], context: Context): readonly Part[] {
  let parts: readonly Part[] = cutPart({ nodes, leftOut: new Set() }, context);
  /** Kinds of parts without repetitions. They are not tried again, because a deep network can have thousands of parts of one kind. */
  const plainKinds = new Set<number>();
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index];
    if (part === undefined || part.nodes.length < minNodes) continue;
    const { kind } = outsideOf(part.nodes, context);
    if (plainKinds.has(kind)) continue;
    const pieces = piecesAround(parts, index, part, context);
    if (pieces === undefined) plainKinds.add(kind);
    else parts = parts.toSpliced(index--, 1, ...pieces);
  }
  return parts;
}

/** The minimum number of nodes of a part that is cut further. */
const minNodes = 8;
/** The maximum number of long-lived values that are ignored together, such as an encoder's output, a position bias and a mask. */
const maxLeftOut = 4;

/** Cuts a part while ignoring its longest-lived values. Returns undefined if the pieces show no repetition. */
function piecesAround(
  parts: readonly Part[],
  index: number,
  part: Part,
  context: Context,
): readonly Part[] | undefined {
  const long = longestLived(part, context).slice(0, maxLeftOut);
  const choices = [...long.map((value) => [value]), ...long.map((_, last) => long.slice(0, last + 1)).slice(1)];
  for (const chosen of choices) {
    const leftOut = new Set([...part.leftOut, ...chosen]);
    const first = new Set(makersOf(chosen, part.nodes));
    const rest = first.size === 0 ? part.nodes : part.nodes.filter((node) => !first.has(node));
    const pieces = cutPart({ nodes: rest, leftOut }, context);
    if (first.size > 0) pieces.unshift({ nodes: [...first], leftOut: part.leftOut });
    const next = parts.toSpliced(index, 1, ...pieces);
    if (pieces.length > 1 && repeatsAround(next, index, pieces.length, chosen, context)) return pieces;
  }
  return undefined;
}

/**
 * Returns whether the pieces contain consecutive blocks that all read an ignored value, or that are all independent of the ignored values. The input
 * of a residual block is alive to the block's end: all pieces depend on the input, but only the first and the last read it.
 */
function repeatsAround(
  parts: readonly Part[],
  index: number,
  pieces: number,
  leftOut: readonly Value[],
  context: Context,
): boolean {
  let reached: ReadonlySet<Value> | undefined;
  const reaches = (value: Value): boolean => {
    reached ??= downstream(context.graph, leftOut, context.inference);
    return reached.has(value);
  };
  return runsOf(parts, context).some(({ start, period, count }) => {
    if (start >= index + pieces || start + period * count <= index) return false;
    const valuesPerPiece = Array.from({ length: count }, (_, piece) =>
      parts
        .slice(start + piece * period, start + (piece + 1) * period)
        .flatMap(({ nodes }) => nodes.flatMap(usedValues)),
    );
    const reads = valuesPerPiece.every((used) => used.some((value) => leftOut.includes(value)));
    const isLarge = period > 1 || valuesPerPiece.some((used) => used.length >= minNodes);
    return reads || (isLarge && !valuesPerPiece.flat().some(reaches));
  });
}

function runsOf(parts: readonly Part[], context: Context): readonly Repeat[] {
  return repeats(
    parts.map(({ nodes }) => outsideOf(nodes, context).kind),
    parts.map(({ nodes }) => nodes.length),
  );
}

function longestLived({ nodes, leftOut }: Part, { counted }: Context): readonly Value[] {
  const [born, last] = [new Map<Value, number>(), new Map<Value, number>()];
  nodes.forEach((node, index) => {
    for (const value of usedValues(node)) if (counted.has(value) && !leftOut.has(value)) last.set(value, index);
    for (const output of node.outputs) if (output !== undefined) born.set(output, index);
  });
  const length = (value: Value): number => (last.get(value) ?? 0) - (born.get(value) ?? -1);
  return [...last.keys()].filter((value) => length(value) > nodes.length / 2).sort((a, b) => length(b) - length(a));
}

/** Returns the nodes that compute only these values; none if other nodes also read an intermediate result. */
function makersOf(values: readonly Value[], nodes: readonly Node[]): readonly Node[] {
  const makers = new Set<Node>();
  const needed = new Set(values);
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => output !== undefined && needed.has(output))) continue;
    makers.add(node);
    for (const value of usedValues(node)) needed.add(value);
  }
  const shared = [...makers].some((node) =>
    node.outputs.some(
      (output) =>
        output !== undefined && !values.includes(output) && [...output.uses].some((use) => !makers.has(use.node)),
    ),
  );
  return shared ? [] : nodes.filter((node) => makers.has(node));
}

function cutPart({ nodes, leftOut }: Part, { counted }: Context): Part[] {
  const ends = new Set(cutPoints(nodes, counted, leftOut).map(({ producer }) => producer));
  const pieces: Node[][] = [[]];
  for (const node of nodes) {
    pieces.at(-1)?.push(node);
    if (ends.has(node)) pieces.push([]);
  }
  return pieces.filter((piece) => piece.length > 0).map((piece) => ({ nodes: piece, leftOut }));
}

type Outside = Pick<Block, "inputs" | "sides" | "outputs" | "kind">;

function outsideOf(nodes: readonly Node[], context: Context): Outside {
  const before = context.outsides.get(nodes);
  if (before !== undefined) return before;
  const edges = edgesOf(nodes, context);
  const text = kindOf(edges.outputs, [...edges.inputs, ...edges.sides]);
  const kind = context.kinds.get(text) ?? context.kinds.size;
  context.kinds.set(text, kind);
  const outside = { ...edges, kind };
  context.outsides.set(nodes, outside);
  return outside;
}

function blockOf(nodes: readonly Node[], layersOf: ReadonlyMap<Node, readonly Layer[]>, context: Context): Block {
  const { kind, ...edges } = outsideOf(nodes, context);
  const named = nodes.flatMap((node) => (layersOf.get(node) ?? []).map(({ name }) => name));
  return {
    name: commonName(named) ?? edges.outputs[0]?.name ?? nodes[0]?.name ?? "",
    nodes,
    ...edges,
    layers: named,
    kind,
  };
}

function edgesOf(nodes: readonly Node[], context: Context): Omit<Outside, "kind"> {
  const members = new Set(nodes);
  const produced = new Set(nodes.flatMap((node) => node.outputs.filter((output) => output !== undefined)));
  const inputs = new Set<Value>();
  const sides = new Set<Value>();
  for (const node of nodes) {
    for (const value of usedValues(node)) {
      if (produced.has(value) || isStored(value, context)) continue;
      if (context.counted.has(value)) inputs.add(value);
    }
  }
  /** Values that are computed from the block's own values, input sizes and stored tensors alone. */
  const derived = new Set<Value>();
  const isDerived = (value: Value): boolean =>
    produced.has(value) || inputs.has(value) || isStored(value, context) || derived.has(value);
  const makersOf = (node: Node): readonly Node[] =>
    usedValues(node).flatMap((value) =>
      isDerived(value) || context.counted.has(value) || value.producer === undefined ? [] : [value.producer],
    );
  for (const node of inOrder(nodes.flatMap(makersOf), makersOf, describe))
    if (usedValues(node).every(isDerived))
      for (const output of node.outputs) if (output !== undefined) derived.add(output);
  for (const node of nodes) {
    for (const value of usedValues(node)) if (!inputs.has(value) && !isDerived(value)) sides.add(value);
  }
  const outputs = [...produced].filter(
    (value) =>
      context.graph.isOutput(value) ||
      (context.counted.has(value) && [...readersOf(value)].some((reader) => !members.has(reader))),
  );
  return { inputs: [...inputs], sides: [...sides], outputs };

  /** Returns the nodes of the main graph that read a value, directly or in a subgraph. Nodes that read only sizes are left out. */
  function readersOf(value: Value): readonly Node[] {
    return [...value.uses]
      .map((use) => outermostNode(use.node, context.graph))
      .filter((reader) => reader.outputs.some((output) => output !== undefined && context.counted.has(output)));
  }
}

function isStored(value: Value, { inference }: Context): boolean {
  return value.tensor !== undefined || inference.operand(value)?.stored === true;
}

/** Returns the node of `graph` that contains a node, however deeply nested in subgraphs; a node of `graph` itself is returned unchanged. */
export function outermostNode(node: Node, graph: Graph): Node {
  let ancestor = node;
  while (ancestor.graph !== graph && ancestor.graph.parent !== undefined) ancestor = ancestor.graph.parent;
  return ancestor;
}

/**
 * Returns the longest common prefix of names, in complete parts. "encoder.layer.3.query" and "encoder.layer.3.output.dense" share "encoder.layer.3".
 */
function commonName(names: readonly string[]): string | undefined {
  const [first, ...rest] = names.map((name) => name.split(/[./]/));
  if (first === undefined) return undefined;
  if (rest.length === 0) return names[0];
  const end = first.findIndex((part, index) => rest.some((other) => other[index] !== part));
  const common = first.slice(0, end < 0 ? first.length : end).join(".");
  return common === "" ? undefined : common;
}

/**
 * Joins consecutive blocks into one block, with the inputs and outputs of the whole sequence.
 * @param all All blocks of the model, in their order.
 * @example
 * const all = blocks(model, infer(model)).blocks;
 * const firstHalf = extractBlock(model, joinBlocks(model, all.slice(0, all.length / 2), all));
 */
export function joinBlocks(model: Model, run: readonly Block[], all: readonly Block[]): Omit<Block, "kind"> {
  const members = new Set(run);
  const readElsewhere = new Set(all.flatMap((block) => (members.has(block) ? [] : block.inputs)));
  const produced = new Set(run.flatMap(({ nodes }) => nodes.flatMap(({ outputs }) => outputs)));
  const unique = (values: readonly Value[]): readonly Value[] => [...new Set(values)];
  const named = run.flatMap(({ layers: names }) => names);
  const outputs = run
    .flatMap((block) => block.outputs)
    .filter((value) => readElsewhere.has(value) || model.graph.isOutput(value));
  return {
    name: commonName(named) ?? fromTo(named) ?? run[0]?.name ?? "",
    nodes: run.flatMap(({ nodes }) => nodes),
    inputs: unique(run.flatMap(({ inputs }) => inputs.filter((value) => !produced.has(value)))),
    sides: unique(run.flatMap(({ sides }) => sides)),
    outputs,
    layers: named,
  };
}

function fromTo(names: readonly string[]): string | undefined {
  const [first, last] = [names[0], names.at(-1)];
  return first === undefined || last === undefined ? undefined : `${first} … ${last}`;
}
