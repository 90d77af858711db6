/**
 * Finds named dimensions that must be equal for a model to run, from the axis links of operators:
 *      h: [1, hb, hidden];  LSTM(x: [steps, batch, 8], W, R: [1, 256, 64], …, h)        hb = batch, hidden = 64
 *      Add(scores: [b, h, s, past + s], mask: [b, 1, 1, total])                         total = past + s
 */
import { allNodes, type Dim, isNonnegative, isSymbolic, type Model, type Node, solveDims, substituteDim } from "#graph";
import type { AxisEnd } from "../ops/define.ts";
import type { Inference } from "./infer.ts";

/** Rewrites a dimension in terms of as few names as possible. */
export type DimRewrite = (dim: Dim) => Dim;

export function createDimRewrite(model: Model, inference: Inference): DimRewrite {
  const values = new Map<string, Dim>();
  const rewrite: DimRewrite = (dim) => {
    let rewritten = dim;
    if (isSymbolic(dim)) for (const [name, value] of values) rewritten = substituteDim(rewritten, name, value);
    return rewritten;
  };
  const firstUseOf = createFirstUseOf(model);
  for (const node of allNodes(model.graph)) {
    for (const [a, b] of equalDims(node, inference)) {
      const [solution] = solveDims(rewrite(a), rewrite(b))
        .filter(([, value]) => isNonnegative(value) || isSymbolic(value))
        .sort(([a, x], [b, y]) => priorityOf(a, x) - priorityOf(b, y) || firstUseOf(b) - firstUseOf(a));
      if (solution === undefined) continue;
      const [name, value] = solution;
      for (const [other, old] of values) values.set(other, substituteDim(old, name, value));
      values.set(name, value);
    }
  }
  return rewrite;
}

/** Returns the priority of replacing a name: run-time sizes first, differences last, because they can become negative. */
function priorityOf(name: string, value: Dim): number {
  if (name.startsWith("?")) return 0;
  return !isSymbolic(value) ? 1 : isNonnegative(value) ? 2 : 3;
}

/** Returns a function that gives the position of a name's first use among the model's inputs. */
function createFirstUseOf(model: Model): (name: string) => number {
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
  const sizeByOutputAxis = new Map<string, Dim>();
  const sizeOf = ([port, axis]: AxisEnd): Dim | undefined =>
    port.startsWith("in") ? shapes[Number(port.slice(2))]?.[axis] : undefined;
  return rule.links.flatMap((link): (readonly [Dim, Dim])[] => {
    if (!("from" in link) || link.map !== undefined) return [];
    const [from, to] = [sizeOf(link.from), sizeOf(link.to)];
    // Axes of two directly linked inputs have equal sizes. Axes linked through an output can broadcast.
    if (to !== undefined) return from === undefined || from === to ? [] : [[from, to]];
    if (from === undefined || from === 1) return [];
    const broadcastSize = sizeByOutputAxis.get(link.to.join());
    if (broadcastSize === undefined) sizeByOutputAxis.set(link.to.join(), from);
    return broadcastSize === undefined || broadcastSize === from ? [] : [[from, broadcastSize]];
  });
}
