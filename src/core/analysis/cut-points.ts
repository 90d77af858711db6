/**
 * Finds cut points: single values through which all computation that depends on parameters passes. The part before a cut point can be run, trained or
 * replaced separately. A value is alive from its producer to its last reader. The network can be cut where exactly one value is alive. Masks,
 * positions and sizes do not depend on parameters, so they are ignored.
 */
import { type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import { isFloat } from "../tensor/convert.ts";
import { downstream } from "./downstream.ts";
import type { Inference } from "./infer.ts";

/** Returns the values that depend on parameters and are computed at run time, and the float inputs of nodes with weights. */
export function findDependents(graph: Graph, parameters: Iterable<Value>, inference: Inference): ReadonlySet<Value> {
  const sources = [...parameters];
  const reached = downstream(graph, sources, inference);
  const weights = new Set([...reached].filter((value) => inference.operand(value)?.stored === true));
  const computed = [...reached].filter((value) => value.producer !== undefined && !weights.has(value));
  const data = graph.feeds.filter(
    ({ type, uses }) =>
      type !== undefined &&
      isFloat(type.type) &&
      [...uses].some(({ node }) => node.inputs.some((input) => input !== undefined && weights.has(input))),
  );
  return new Set([...data, ...computed]);
}

/** Returns the nodes that compute at least one of the given values. */
export function nodesOf(graph: Graph, counted: ReadonlySet<Value>): readonly Node[] {
  return [...graph.nodes()].filter((node) =>
    node.outputs.some((output) => output !== undefined && counted.has(output)),
  );
}

/**
 * Returns the values at which a sequence of nodes can be cut, in order.
 * @param counted Values that prevent a cut while more than one is alive.
 * @param leftOut Values of `counted` that are ignored.
 */
export function cutPoints(
  nodes: readonly Node[],
  counted: ReadonlySet<Value>,
  leftOut: ReadonlySet<Value> = new Set(),
): readonly Value[] {
  const lastUse = new Map<Value, number>();
  const counts = (value: Value): boolean => counted.has(value) && !leftOut.has(value);
  nodes.forEach((node, index) => {
    for (const value of usedValues(node)) if (counts(value)) lastUse.set(value, index);
  });
  const inside = new Set(nodes.flatMap((node) => node.outputs));
  const entered = new Set([...lastUse.keys()].filter((value) => !inside.has(value)));
  // A model input is alive only from its first use, so a second input does not prevent cuts before its first
  // use.
  const alive = new Set([...entered].filter(({ producer }) => producer !== undefined));
  const cuts: Value[] = [];
  nodes.forEach((node, index) => {
    for (const value of usedValues(node)) {
      if (lastUse.get(value) === index) alive.delete(value);
      else if (lastUse.has(value)) alive.add(value);
    }
    for (const output of node.outputs) if (output !== undefined && lastUse.has(output)) alive.add(output);
    const [only] = alive;
    // A value of unknown type, or a sequence, cannot become a model input.
    if (alive.size !== 1 || only?.type === undefined || entered.has(only)) return;
    if (cuts.at(-1) !== only) cuts.push(only);
  });
  return cuts;
}
