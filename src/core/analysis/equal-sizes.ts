/**
 * Finds dimension names that must be equal for a model to run. Axes of inputs correspond if a node joins,
 * multiplies or adds them, according to the operator's `axes`:
 *      h: [1, hb, hidden];  LSTM(x: [steps, batch, 8], W, R: [1, 256, 64], …, h)        hb = batch, hidden = 64
 *      Add(scores: [b, h, s, past + s], mask: [b, 1, 1, total])                         total = past + s
 * An axis of size 1 would broadcast instead, but equal sizes also run.
 */
import { allNodes, type Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { AxisEnd } from "../ops/define.ts";
import { type Dim, isDimension, isSymbolic, solveDims, substituteDim } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";

/** Rewrites a dimension in terms of as few names as possible, or as a number if the equalities determine it. */
export type EqualSizes = (dim: Dim) => Dim;

/** Collects the equalities between dimensions of a model and returns the rewriting function that follows from them. */
export function equalSizes(model: Model, inference: Inference): EqualSizes {
  const values = new Map<string, Dim>();
  const rewrite: EqualSizes = (dim) => {
    let rewritten = dim;
    if (isSymbolic(dim)) for (const [name, value] of values) rewritten = substituteDim(rewritten, name, value);
    return rewritten;
  };
  const order = namesInOrder(model);
  for (const node of allNodes(model.graph)) {
    for (const [a, b] of equalDims(node, inference)) {
      const [solved] = solveDims(rewrite(a), rewrite(b))
        .filter(([, value]) => isDimension(value) || isSymbolic(value))
        .sort(([a, x], [b, y]) => rank(a, x) - rank(b, y) || order(b) - order(a));
      if (solved === undefined) continue;
      const [name, value] = solved;
      for (const [other, old] of values) values.set(other, substituteDim(old, name, value));
      values.set(name, value);
    }
  }
  return rewrite;
}

/**
 * Returns the priority of an elimination; lower comes first. Names of run-time sizes go first, then names equal
 * to a number, a name, or a sum. Sums come last, because a difference can become negative.
 */
function rank(name: string, value: Dim): number {
  if (name.startsWith("?")) return 0;
  return !isSymbolic(value) ? 1 : isDimension(value) ? 2 : 3;
}

/** Returns the position of a name's first use among the inputs. Names used later are replaced by names used earlier. */
function namesInOrder(model: Model): (name: string) => number {
  const texts = model.graph.feeds.flatMap(
    ({ type }) => type?.dims?.map((dim) => (isSymbolic(dim) ? dim.text : "")) ?? [],
  );
  return (name) => texts.indexOf(name);
}

function equalDims(node: Node, inference: Inference): readonly (readonly [Dim, Dim])[] {
  const shapes = node.inputs.map((value) => (value === undefined ? undefined : inference.operand(value)?.dims));
  if (shapes.length < 2 || !shapes.some((dims) => dims?.some(isSymbolic))) return [];
  const rule = inference.facet(node, "axes");
  if (rule === undefined) return [];
  const first = new Map<string, Dim>();
  const sizeOf = ([port, axis]: AxisEnd): Dim | undefined =>
    port.startsWith("in") ? shapes[Number(port.slice(2))]?.[axis] : undefined;
  return rule.links.flatMap((link): (readonly [Dim, Dim])[] => {
    if (!("from" in link) || link.map !== undefined) return [];
    const [from, to] = [sizeOf(link.from), sizeOf(link.to)];
    // Axes of two directly linked inputs have equal sizes. Axes linked through an output can broadcast.
    if (to !== undefined) return from === undefined || from === to ? [] : [[from, to]];
    if (from === undefined || from === 1) return [];
    const broadcastSize = first.get(link.to.join());
    if (broadcastSize === undefined) first.set(link.to.join(), from);
    return broadcastSize === undefined || broadcastSize === from ? [] : [[from, broadcastSize]];
  });
}
