/**
 * Gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost"): values between two kept values are recomputed in the
 * backward pass from the first of them.
 *
 *     forward    x → [a → b] → c → [d → e] → y → loss        kept: c, y
 *     backward   dy,  d' = f(c), e' = g(d'),  dd …,  dc,  a' = h(x), b' …
 *
 * Copied nodes read kept values after a barrier: a Reshape to the same dimensions that waits for a gradient of this part. Without it, a runtime can
 * recompute all parts at the start of the backward pass, which saves nothing. Optimizations must be off, because they would merge copies and
 * originals. Values that depend on no parameter or no input, that several parts read (masks, positions), or that are random are kept.
 */

import { cutPoints, downstream, findDependents, type Inference, isRandom } from "#analysis";
import type { Copies, Emit, Graph, Model, Node, Value } from "#ir";
import { copyNode, describe, emitInto, fixedDims, fromNumbers, inOrder, memoize, usedValues } from "#ir";
import { bytesOf } from "./memory.ts";

interface GradientStep {
  readonly model: Model;
  readonly inference: Inference;
  readonly forward: ReadonlySet<Node>;
  readonly dependents: ReadonlySet<Value>;
  readonly outputGradients: ReadonlyMap<Node, Value>;
}

/** Recomputes values between the boundaries in the backward pass, in place. Values after the last boundary are kept. */
export function recompute(step: GradientStep, boundaries: ReadonlySet<Value>): void {
  const { model, forward, outputGradients } = step;
  const parts = partsOf(step, boundaries);
  const inputDependents = downstream(model.graph, model.graph.feeds, step.inference);
  const isKept = keepTest(step, boundaries, parts, inputDependents);
  const needsBarrier = (value: Value): boolean =>
    inputDependents.has(value) && step.inference.operand(value)?.elements === undefined;
  const barriers = new Map<number, Value>();
  for (const node of [...forward].reverse()) {
    const part = parts.get(node);
    const gradient = outputGradients.get(node);
    if (part === undefined || gradient === undefined || barriers.has(part)) continue;
    if (gradient.producer !== undefined && model.graph.ownValue(gradient.name) === gradient)
      barriers.set(part, gradient);
  }
  const copies = new Map<number, Copies>();
  for (const user of [...model.graph.nodes()].filter((node) => !forward.has(node))) {
    for (const [input, value] of user.inputs.entries()) {
      const part = value?.producer === undefined ? undefined : parts.get(value.producer);
      if (value === undefined || part === undefined || isKept(value)) continue;
      const partCopies = memoize(copies, part, () => new Map<Value, Value>());
      const copyContext = { step, isKept, needsBarrier, copies: partCopies, gate: barriers.get(part) };
      model.graph.setInput(user, input, copyBefore(user, value, copyContext));
    }
  }
}

interface CopyContext {
  readonly step: GradientStep;
  readonly isKept: (value: Value) => boolean;
  /** Returns whether copies read a kept value after a barrier: if it depends on a model input and its elements are unknown. */
  readonly needsBarrier: (value: Value) => boolean;
  readonly copies: Copies;
  readonly gate: Value | undefined;
}

function copyBefore(user: Node, value: Value, { step, isKept, needsBarrier, copies, gate }: CopyContext): Value {
  const { model, inference } = step;
  const emit = emitInto(model, { by: "differentiate", before: user, onNode: inference.visit });
  const producersOf = (values: readonly Value[]): Node[] =>
    values.flatMap((used) => (copies.has(used) || isKept(used) || used.producer === undefined ? [] : [used.producer]));
  for (const node of inOrder(producersOf([value]), (current) => producersOf(usedValues(current)), describe)) {
    for (const used of usedValues(node))
      if (gate !== undefined && !copies.has(used) && needsBarrier(used)) copies.set(used, waitFor(emit, used, gate));
    copyNode(
      node,
      model.graph,
      copies,
      { node: "", output: ({ name }) => model.graph.freshName(`${name}.again`) },
      { before: user },
    );
    for (const output of node.outputs) {
      const copy = output === undefined ? undefined : copies.get(output);
      // Copies do not get roles, which belong to the original values.
      if (copy !== undefined) copy.role = undefined;
    }
  }
  return copies.get(value) ?? value;
}

/** Returns the value after a barrier: a reshape to the same dimensions that waits for the gate. */
function waitFor(emit: Emit, value: Value, gate: Value): Value {
  const dims = fixedDims(value.type?.dims);
  if (dims === undefined || dims.includes(0)) return value;
  const emptyShape = emit.Shape([gate], { start: 0, end: 0 });
  const shape = emit.Concat([emptyShape, emit.constant(fromNumbers("int64", [dims.length], dims), "dims")], {
    axis: 0,
  });
  return emit.Reshape([value, shape]);
}

function partsOf({ forward }: GradientStep, boundaries: ReadonlySet<Value>): ReadonlyMap<Node, number> {
  const parts = new Map<Node, number>();
  let part = 0;
  let partNodes: Node[] = [];
  for (const node of forward) {
    partNodes.push(node);
    if (!node.outputs.some((output) => output !== undefined && boundaries.has(output))) continue;
    for (const partNode of partNodes) parts.set(partNode, part);
    part++;
    partNodes = [];
  }
  return parts;
}

/** Returns a test for values that the backward pass reads instead of recomputing them. */
function keepTest(
  { model, inference, forward, dependents }: GradientStep,
  boundaries: ReadonlySet<Value>,
  parts: ReadonlyMap<Node, number>,
  inputDependents: ReadonlySet<Value>,
): (value: Value) => boolean {
  const { graph } = model;
  const outputs = new Set(graph.outputs);
  const mustKeep = (value: Value): boolean => {
    const { producer } = value;
    const part = producer === undefined ? undefined : parts.get(producer);
    if (producer === undefined || part === undefined || boundaries.has(value) || outputs.has(value)) return true;
    if (!dependents.has(value) || !inputDependents.has(value) || isRandom(producer) || !forward.has(producer))
      return true;
    if (inference.operand(value)?.stored === true || value.type === undefined) return true;
    return [...value.uses].some(({ node }) => node.graph !== graph || (forward.has(node) && parts.get(node) !== part));
  };
  const results = new Map<Value, boolean>();
  return (value) => memoize(results, value, () => mustKeep(value));
}

// Chooses the cut points with the least memory (Chen et al. 2016, algorithm 3). For cut points c₁ … cₘ the memory of a choice is
// Σ bytes(cᵢ chosen) + max over parts of the bytes that the backward pass reads of a part. For each of several budgets for the second
// term, dynamic programming minimizes the first.

/** The budgets are k / 64 (k = 1 … 63) of the bytes that the backward pass reads without checkpointing. */
const budgetCount = 64;

/** Returns the values to keep at cut points; empty if keeping all values needs less memory. */
export function chooseBoundaries(step: GradientStep, parameters: readonly Value[]): ReadonlySet<Value> {
  const { model, inference, forward } = step;
  const dependents = findDependents(model.graph, parameters, inference);
  const nodes = [...forward].filter((node) =>
    node.outputs.some((output) => output !== undefined && dependents.has(output)),
  );
  const cuts = cutPoints(nodes, new Set([...dependents].filter(({ type }) => fixedDims(type?.dims) !== undefined)));
  // Bytes, up to each cut point, that the backward pass reads.
  const readBytes = [0];
  const cutProducers = new Set(cuts.map(({ producer }) => producer));
  let sum = 0;
  for (const node of nodes) {
    for (const output of node.outputs)
      if (output !== undefined && [...output.uses].some((use) => !forward.has(use.node))) sum += bytesOf(output);
    if (cutProducers.has(node)) readBytes.push(sum);
  }
  const chosen = minimizeMemory(cuts.map(bytesOf), [...readBytes, sum]);
  return new Set(chosen.flatMap((index) => cuts[index] ?? []));
}

/** @param sizes bytes of each cut point. @param read total bytes that the backward pass reads up to the start, each cut point, and the end. */
export function minimizeMemory(sizes: readonly number[], read: readonly number[]): readonly number[] {
  const total = read.at(-1) ?? 0;
  let minimum = total;
  let best: readonly number[] = [];
  for (let budget = 1; budget < budgetCount; budget++) {
    const choice = chooseWithin((total * budget) / budgetCount, sizes, read);
    if (choice === undefined || choice.memory >= minimum) continue;
    minimum = choice.memory;
    best = choice.chosen;
  }
  return best;
}

/** Chooses the cut points with the least kept memory for which no part reads more than `limit` bytes. */
function chooseWithin(
  limit: number,
  sizes: readonly number[],
  read: readonly number[],
): { readonly memory: number; readonly chosen: readonly number[] } | undefined {
  const count = sizes.length;
  /** Minimum kept bytes up to each position (0: start, 1 … count: cut points, count + 1: end), and the previous position. */
  const keptBytes: number[] = [0];
  const previous: number[] = [-1];
  for (let end = 1; end <= count + 1; end++) {
    let [minimum, from] = [Number.POSITIVE_INFINITY, -1];
    for (let start = end - 1; start >= 0 && (read[end] ?? 0) - (read[start] ?? 0) <= limit; start--) {
      const sum = keptBytes[start] ?? 0;
      if (sum < minimum) [minimum, from] = [sum, start];
    }
    keptBytes.push(minimum + (sizes[end - 1] ?? 0));
    previous.push(from);
  }
  const sum = keptBytes[count + 1] ?? Number.POSITIVE_INFINITY;
  if (!Number.isFinite(sum)) return undefined;
  const chosen: number[] = [];
  let largest = 0;
  for (let end = count + 1; end > 0; end = previous[end] ?? -1) {
    const start = previous[end] ?? -1;
    largest = Math.max(largest, (read[end] ?? 0) - (read[start] ?? 0));
    if (start > 0) chosen.unshift(start - 1);
  }
  return { memory: sum + largest, chosen };
}

// ONNX Runtime does not run nodes in file order. It starts from the last node that nothing reads and computes depth first what it
// needs. If that is the gradient of the first layer, all activations and gradients stay in memory to the end. So these nodes go
// to the end of the file in reverse order: the loss runs first, then the gradients of the last layer.

/** Moves the nodes whose outputs no node reads, so that the runtime runs them in their current order. */
export function runInOrder(graph: Graph): void {
  const unread = [...graph.nodes()].filter((node) => node.outputs.every((output) => (output?.uses.size ?? 0) === 0));
  graph.moveToEnd(unread.reverse());
}
