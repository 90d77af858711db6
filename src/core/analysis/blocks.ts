/**
 * Finds the blocks of a network from its graph alone, without names:
 * 1. cut the nodes that depend on parameters where one value is alive (`cut-points.ts`);
 * 2. if a value that is alive throughout prevents a cut (an encoder's output, relative position biases), ignore it and cut again;
 * 3. parts that differ only in trained values are of one kind (`block-kind.ts`);
 * 4. join consecutive repetitions: transformer layers, blocks of a stage.
 * Each node that depends on a parameter is in exactly one block. Other values that blocks read (masks, positions, sizes) are `sides`.
 */
import { extract } from "../graph/extract.ts";
import { describe, type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { inOrder } from "../graph/order.ts";
import { groupBy } from "../tensor/group-by.ts";
import { kindOf } from "./block-kind.ts";
import { computedFrom, cutPoints, nodesOf } from "./cut-points.ts";
import { downstream } from "./downstream.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers } from "./layers.ts";
import { parametersOf } from "./parameters.ts";
import { type Repeat, repeats } from "./repeats.ts";

export interface Block {
  /** The common prefix of its layers' names ("encoder.layer.3"), or the name of its output. */
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  /** Other values that it reads, computed outside of blocks. */
  readonly sides: readonly Value[];
  readonly outputs: readonly Value[];
  readonly layers: readonly string[];
  /** Equal for blocks that differ only in trained values. */
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
    counted: computedFrom(graph, parameters, inference),
    kinds: new Map(),
    known: new Map(),
  };
  const parts = divide(nodesOf(graph, context.counted), context);
  const runs = runsOf(parts, context);
  const joined: { readonly nodes: readonly Node[]; readonly run: number | undefined }[] = [];
  let next = 0;
  for (const [run, { start, period, count }] of runs.entries()) {
    for (; next < start; next++) joined.push({ nodes: parts[next]?.nodes ?? [], run: undefined });
    for (let piece = 0; piece < count; piece++, next += period)
      joined.push({ nodes: together(parts.slice(next, next + period)), run });
  }
  for (; next < parts.length; next++) joined.push({ nodes: parts[next]?.nodes ?? [], run: undefined });

  const layersOf = groupBy(layers(model, inference), ({ node }) => node);
  const all = joined.map(({ nodes, run }) => ({ block: blockOf(nodes, layersOf, context), run }));
  return {
    blocks: all.map(({ block }) => block),
    repeats: runs.map((_, index) => all.flatMap(({ block, run }) => (run === index ? [block] : []))),
  };
}

/** Extracts a block as a model with inputs `inputs`, then `sides`, and outputs `outputs`, under their names. */
export function extractBlock(model: Model, { inputs, sides, outputs }: Omit<Block, "kind">): Model {
  return extract(model, outputs, [...inputs, ...sides]);
}

interface Context {
  readonly graph: Graph;
  readonly inference: Inference;
  /** Depends on a parameter and is computed in a run. */
  readonly counted: ReadonlySet<Value>;
  readonly kinds: Map<string, number>;
  readonly known: Map<readonly Node[], Outside>;
}

/** Returns the nodes of parts; for a single part its own list, which is a cache key. */
function together(parts: readonly Part[]): readonly Node[] {
  const [first, ...others] = parts;
  return first !== undefined && others.length === 0 ? first.nodes : parts.flatMap(({ nodes }) => nodes);
}

interface Part {
  readonly nodes: readonly Node[];
  readonly leftOut: ReadonlySet<Value>;
}

/** Cuts nodes at all cut points, then around values that are alive throughout a part. */
function divide(nodes: readonly Node[], context: Context): readonly Part[] {
  let parts: readonly Part[] = cutAt({ nodes, leftOut: new Set() }, context);
  /** If one part shows no repetitions, others of its kind do not: a deep network has thousands. */
  const whole = new Set<number>();
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at];
    if (part === undefined || part.nodes.length < fewestNodes) continue;
    const { kind } = outsideOf(part.nodes, context);
    if (whole.has(kind)) continue;
    const pieces = piecesAround(parts, at, part, context);
    if (pieces === undefined) whole.add(kind);
    else parts = parts.toSpliced(at--, 1, ...pieces);
  }
  return parts;
}

const fewestNodes = 8;
/** The maximum number of long-lived values ignored at once: an encoder's output, a position bias, a mask. */
const mostLeftOut = 4;

/** Cuts a part while ignoring its longest-lived values, if that shows repetitions. */
function piecesAround(parts: readonly Part[], at: number, part: Part, context: Context): readonly Part[] | undefined {
  const long = longestLived(part, context).slice(0, mostLeftOut);
  const choices = [...long.map((value) => [value]), ...long.map((_, last) => long.slice(0, last + 1)).slice(1)];
  for (const chosen of choices) {
    const leftOut = new Set([...part.leftOut, ...chosen]);
    const first = new Set(makersOf(chosen, part.nodes));
    const rest = first.size === 0 ? part.nodes : part.nodes.filter((node) => !first.has(node));
    const pieces = cutAt({ nodes: rest, leftOut }, context);
    if (first.size > 0) pieces.unshift({ nodes: [...first], leftOut: part.leftOut });
    if (pieces.length > 1 && repeatsAround(parts.toSpliced(at, 1, ...pieces), at, pieces.length, chosen, context))
      return pieces;
  }
  return undefined;
}

/**
 * Returns whether these pieces contain consecutive blocks that all read an ignored value, or of which none depends on one. In a residual block,
 * whose input is alive to its end, pieces depend on it, but only the first and the last read it.
 */
function repeatsAround(
  parts: readonly Part[],
  at: number,
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
    if (start >= at + pieces || start + period * count <= at) return false;
    const each = Array.from({ length: count }, (_, piece) =>
      parts
        .slice(start + piece * period, start + (piece + 1) * period)
        .flatMap(({ nodes }) => nodes.flatMap(usedValues)),
    );
    const reads = each.every((used) => used.some((value) => leftOut.includes(value)));
    const apart = period > 1 || each.some((used) => used.length >= fewestNodes);
    return reads || (apart && !each.flat().some(reaches));
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
  nodes.forEach((node, at) => {
    for (const value of usedValues(node)) if (counted.has(value) && !leftOut.has(value)) last.set(value, at);
    for (const output of node.outputs) if (output !== undefined) born.set(output, at);
  });
  const length = (value: Value): number => (last.get(value) ?? 0) - (born.get(value) ?? -1);
  return [...last.keys()].filter((value) => length(value) > nodes.length / 2).sort((a, b) => length(b) - length(a));
}

/** Returns the nodes that make only these values: they need not be in the block that reads the values first. */
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

function cutAt({ nodes, leftOut }: Part, { counted }: Context): Part[] {
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
  const before = context.known.get(nodes);
  if (before !== undefined) return before;
  const edges = edgesOf(nodes, context);
  const text = kindOf(edges.outputs, [...edges.inputs, ...edges.sides]);
  const kind = context.kinds.get(text) ?? context.kinds.size;
  context.kinds.set(text, kind);
  const found = { ...edges, kind };
  context.known.set(nodes, found);
  return found;
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
  const own = new Set(nodes);
  const made = new Set(nodes.flatMap((node) => node.outputs.filter((output) => output !== undefined)));
  const inputs = new Set<Value>();
  const sides = new Set<Value>();
  for (const node of nodes) {
    for (const value of usedValues(node)) {
      if (made.has(value) || isStored(value, context)) continue;
      if (context.counted.has(value)) inputs.add(value);
    }
  }
  /** Values that are computed only from input sizes and stored tensors. */
  const within = new Set<Value>();
  const isWithin = (value: Value): boolean =>
    made.has(value) || inputs.has(value) || isStored(value, context) || within.has(value);
  const makersOf = (node: Node): readonly Node[] =>
    usedValues(node).flatMap((value) =>
      isWithin(value) || context.counted.has(value) || value.producer === undefined ? [] : [value.producer],
    );
  for (const node of inOrder(nodes.flatMap(makersOf), makersOf, describe))
    if (usedValues(node).every(isWithin))
      for (const output of node.outputs) if (output !== undefined) within.add(output);
  for (const node of nodes) {
    for (const value of usedValues(node)) if (!inputs.has(value) && !isWithin(value)) sides.add(value);
  }
  const outputs = [...made].filter(
    (value) =>
      context.graph.isOutput(value) ||
      (context.counted.has(value) && [...readersOf(value)].some((reader) => !own.has(reader))),
  );
  return { inputs: [...inputs], sides: [...sides], outputs };

  /** Returns the main graph's nodes that read a value, including subgraphs, except those that read only sizes. */
  function readersOf(value: Value): readonly Node[] {
    return [...value.uses]
      .map((use) => outermost(use.node, context.graph))
      .filter((reader) => reader.outputs.some((output) => output !== undefined && context.counted.has(output)));
  }
}

function isStored(value: Value, { inference }: Context): boolean {
  return value.tensor !== undefined || inference.operand(value)?.stored === true;
}

export function outermost(node: Node, graph: Graph): Node {
  let found = node;
  while (found.graph !== graph && found.graph.parent !== undefined) found = found.graph.parent;
  return found;
}

/** Returns the longest common prefix by parts: "encoder.layer.3" of "encoder.layer.3.query" and "encoder.layer.3.output.dense". */
export function commonName(names: readonly string[]): string | undefined {
  const [first, ...others] = names.map((name) => name.split(/[./]/));
  if (first === undefined) return undefined;
  if (others.length === 0) return names[0];
  const end = first.findIndex((part, at) => others.some((other) => other[at] !== part));
  const common = first.slice(0, end < 0 ? first.length : end).join(".");
  return common === "" ? undefined : common;
}

/**
 * Joins consecutive blocks into one with their external inputs and outputs.
 * @param all The blocks of the model, in their order.
 * @example
 * const all = blocks(model, infer(model)).blocks;
 * const firstHalf = extractBlock(model, joinBlocks(model, all.slice(0, all.length / 2), all));
 */
export function joinBlocks(model: Model, run: readonly Block[], all: readonly Block[]): Omit<Block, "kind"> {
  const own = new Set(run);
  const readElsewhere = new Set(all.flatMap((block) => (own.has(block) ? [] : block.inputs)));
  const made = new Set(run.flatMap(({ nodes }) => nodes.flatMap(({ outputs }) => outputs)));
  const unique = (values: readonly Value[]): readonly Value[] => [...new Set(values)];
  const named = run.flatMap(({ layers: names }) => names);
  const outputs = run
    .flatMap((block) => block.outputs)
    .filter((value) => readElsewhere.has(value) || model.graph.isOutput(value));
  return {
    name: commonName(named) ?? fromTo(named) ?? run[0]?.name ?? "",
    nodes: run.flatMap(({ nodes }) => nodes),
    inputs: unique(run.flatMap(({ inputs }) => inputs.filter((value) => !made.has(value)))),
    sides: unique(run.flatMap(({ sides }) => sides)),
    outputs,
    layers: named,
  };
}

function fromTo(names: readonly string[]): string | undefined {
  const [first, last] = [names[0], names.at(-1)];
  return first === undefined || last === undefined ? undefined : `${first} … ${last}`;
}
