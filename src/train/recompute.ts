/**
 * Gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost"): what lies between two kept values is not kept
 * for the backward pass, but computed again there from the first of them.
 *
 *     forward    x → [a → b] → c → [d → e] → y → loss        kept: c, y
 *     backward   dy,  d' = f(c), e' = g(d'),  dd …,  dc,  a' = h(x), b' …
 *
 * The copies of nodes read kept values behind a barrier: a Reshape to the same dimensions, which waits for a gradient that arrives in this
 * part of the network and costs nothing. Without it a runtime is free to compute all parts again at the start of the backward pass, which
 * saves nothing. Optimizations must be off: they would merge copies and originals.
 *
 * What depends on no parameter or no input, what several parts read (masks, positions), and what is drawn at random, is kept.
 */
import { downstream } from "../analysis/downstream.ts";
import type { Inference } from "../analysis/infer.ts";
import { isRandom } from "../analysis/random.ts";
import { type Copies, copyNode } from "../graph/clone.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import { describe, type Node, usedValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { inOrder } from "../graph/order.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { fixedDims } from "../tensor/dims.ts";

/** A step graph with its gradients. */
export interface Differentiated {
  readonly model: Model;
  readonly inference: Inference;
  /** The nodes of the forward pass. */
  readonly forward: ReadonlySet<Node>;
  /** Depends on what is trained. */
  readonly varying: ReadonlySet<Value>;
  /** Node of the forward pass → the gradient that arrives at it. */
  readonly arriving: ReadonlyMap<Node, Value>;
}

/** Computes again in the backward pass what lies between these values, in place. What follows the last of them is kept. */
export function recompute(step: Differentiated, boundaries: ReadonlySet<Value>): void {
  const { model, forward, arriving } = step;
  const parts = partsOf(step, boundaries);
  const fed = downstream(model.graph, model.graph.feeds, step.inference);
  const kept = keptIn(step, boundaries, parts, fed);
  const waits = (value: Value): boolean => fed.has(value) && step.inference.operand(value)?.elements === undefined;
  const barriers = new Map<number, Value>();
  for (const node of [...forward].reverse()) {
    const part = parts.get(node);
    const gradient = arriving.get(node);
    if (part === undefined || gradient === undefined || barriers.has(part)) continue;
    if (gradient.producer !== undefined && model.graph.ownValue(gradient.name) === gradient)
      barriers.set(part, gradient);
  }
  const copies = new Map<number, Copies>();
  for (const user of [...model.graph.nodes()].filter((node) => !forward.has(node))) {
    for (const [input, value] of user.inputs.entries()) {
      const part = value?.producer === undefined ? undefined : parts.get(value.producer);
      if (value === undefined || part === undefined || kept(value)) continue;
      const own = copies.get(part) ?? new Map<Value, Value>();
      copies.set(part, own);
      model.graph.setInput(
        user,
        input,
        copyBefore(user, value, { step, kept, waits, copies: own, gate: barriers.get(part) }),
      );
    }
  }
}

interface Copying {
  readonly step: Differentiated;
  readonly kept: (value: Value) => boolean;
  /** Whether a kept value is read behind the gate: what depends on no input is there from the start. */
  readonly waits: (value: Value) => boolean;
  readonly copies: Copies;
  /** What copies wait for. */
  readonly gate: Value | undefined;
}

function copyBefore(user: Node, value: Value, { step, kept, waits, copies, gate }: Copying): Value {
  const { model, inference } = step;
  const emit = emitInto(model, { by: "differentiate", before: user, onNode: inference.visit });
  const makers = (values: readonly Value[]): Node[] =>
    values.flatMap((used) => (copies.has(used) || kept(used) || used.producer === undefined ? [] : [used.producer]));
  for (const node of inOrder(makers([value]), (each) => makers(usedValues(each)), describe)) {
    for (const used of usedValues(node))
      if (gate !== undefined && !copies.has(used) && waits(used)) copies.set(used, behind(emit, used, gate));
    copyNode(
      node,
      model.graph,
      copies,
      { node: "", output: ({ name }) => model.graph.freshName(`${name}.again`) },
      { before: user },
    );
    for (const output of node.outputs) {
      const copy = output === undefined ? undefined : copies.get(output);
      // A role says what the original is.
      if (copy !== undefined) copy.role = undefined;
    }
  }
  return copies.get(value) ?? value;
}

/** The same value, but not before the gate is there. */
function behind(emit: Emit, value: Value, gate: Value): Value {
  const dims = fixedDims(value.type?.dims);
  if (dims === undefined || dims.includes(0)) return value;
  const nothing = emit.Shape([gate], { start: 0, end: 0 });
  const shape = emit.Concat([nothing, emit.constant(fromNumbers("int64", [dims.length], dims), "dims")], { axis: 0 });
  return emit.Reshape([value, shape]);
}

/** The part in which each node of the forward pass lies; none for those behind the last boundary. */
function partsOf({ forward }: Differentiated, boundaries: ReadonlySet<Value>): ReadonlyMap<Node, number> {
  const parts = new Map<Node, number>();
  let part = 0;
  let open: Node[] = [];
  for (const node of forward) {
    open.push(node);
    if (!node.outputs.some((output) => output !== undefined && boundaries.has(output))) continue;
    for (const each of open) parts.set(each, part);
    part++;
    open = [];
  }
  return parts;
}

/** Tells what is kept from the forward pass for the backward pass. */
function keptIn(
  { model, inference, forward, varying }: Differentiated,
  boundaries: ReadonlySet<Value>,
  parts: ReadonlyMap<Node, number>,
  fed: ReadonlySet<Value>,
): (value: Value) => boolean {
  const { graph } = model;
  const outputs = new Set(graph.outputs);
  const known = new Map<Value, boolean>();
  const find = (value: Value): boolean => {
    const { producer } = value;
    const part = producer === undefined ? undefined : parts.get(producer);
    if (producer === undefined || part === undefined || boundaries.has(value) || outputs.has(value)) return true;
    if (!varying.has(value) || !fed.has(value) || isRandom(producer) || !forward.has(producer)) return true;
    if (inference.operand(value)?.stored === true || value.type === undefined) return true;
    return [...value.uses].some(({ node }) => node.graph !== graph || (forward.has(node) && parts.get(node) !== part));
  };
  return (value) => {
    const before = known.get(value);
    if (before !== undefined) return before;
    const found = find(value);
    known.set(value, found);
    return found;
  };
}
