/**
 * Cut points: values through which everything goes that is computed with parameters. Before such a value lies a part of the network that
 * could be run, trained or replaced by itself; behind it nothing else of that part is needed.
 *
 * Walking through the nodes in their order, a value is alive from the node that makes it to the last that reads it. Where one is alive, the
 * network can be cut. Masks, positions, sizes are read everywhere and depend on no parameter: they do not count, nor does what is left out.
 */
import { type Graph, type Node, usedValues, type Value } from "../graph/graph.ts";
import { isFloat } from "../tensor/convert.ts";
import { downstream } from "./downstream.ts";
import type { Inference } from "./infer.ts";

/**
 * What depends on parameters, as far as it is computed in a run (stored weights that are masked or rounded count as stored), and the data
 * that are fed to nodes with parameters.
 */
export function computedFrom(graph: Graph, parameters: Iterable<Value>, inference: Inference): ReadonlySet<Value> {
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

export function nodesOf(graph: Graph, counted: ReadonlySet<Value>): readonly Node[] {
  return [...graph.nodes()].filter((node) =>
    node.outputs.some((output) => output !== undefined && counted.has(output)),
  );
}

/**
 * The values at which a sequence of nodes can be cut, in their order.
 * @param counted Values that count while they are alive, but for those left out.
 */
export function cutPoints(
  nodes: readonly Node[],
  counted: ReadonlySet<Value>,
  leftOut: ReadonlySet<Value> = new Set(),
): readonly Value[] {
  const lastUse = new Map<Value, number>();
  const counts = (value: Value): boolean => counted.has(value) && !leftOut.has(value);
  nodes.forEach((node, at) => {
    for (const value of usedValues(node)) if (counts(value)) lastUse.set(value, at);
  });
  const inside = new Set(nodes.flatMap((node) => node.outputs));
  const entered = new Set([...lastUse.keys()].filter((value) => !inside.has(value)));
  // What is fed is there from its first use on: a second input does not keep the part that reads the first from being cut.
  const alive = new Set([...entered].filter(({ producer }) => producer !== undefined));
  const cuts: Value[] = [];
  nodes.forEach((node, at) => {
    for (const value of usedValues(node)) {
      if (lastUse.get(value) === at) alive.delete(value);
      else if (lastUse.has(value)) alive.add(value);
    }
    for (const output of node.outputs) if (output !== undefined && lastUse.has(output)) alive.add(output);
    const [only] = alive;
    // A sequence, or what nothing is known of, cannot be handed over.
    if (alive.size !== 1 || only?.type === undefined || entered.has(only)) return;
    if (cuts.at(-1) !== only) cuts.push(only);
  });
  return cuts;
}
