/** Finds cut points: single values through which the computation that depends on parameters passes, where a network can be divided. */
import { type Graph, isFloat, type Node, usedValues, type Value } from "#graph";
import { downstreamValues } from "./downstream.ts";
import type { Inference } from "./infer.ts";

/** Returns the values that depend on parameters and are computed at run time, and the float model inputs of nodes with weights. */
export function findDependents(graph: Graph, parameters: Iterable<Value>, inference: Inference): ReadonlySet<Value> {
  const sources = [...parameters];
  const affectedValues = downstreamValues(graph, sources, inference);
  const weights = new Set([...affectedValues].filter((value) => inference.operand(value)?.stored === true));
  const computedValues = [...affectedValues].filter((value) => value.producer !== undefined && !weights.has(value));
  const data = graph.feeds.filter(
    ({ type, uses }) =>
      type !== undefined &&
      isFloat(type.type) &&
      [...uses].some(({ node }) => node.inputs.some((input) => input !== undefined && weights.has(input))),
  );
  return new Set([...data, ...computedValues]);
}

export function producersOf(graph: Graph, values: ReadonlySet<Value>): readonly Node[] {
  return [...graph.nodes()].filter((node) => node.outputs.some((output) => output !== undefined && values.has(output)));
}

/** Returns the values at which a sequence of nodes can be cut: those at which exactly one of `dependents` is alive, apart from `ignored`. */
export function cutPoints(
  nodes: readonly Node[],
  dependents: ReadonlySet<Value>,
  ignored: ReadonlySet<Value> = new Set(),
): readonly Value[] {
  const lastUse = new Map<Value, number>();
  const preventsCut = (value: Value): boolean => dependents.has(value) && !ignored.has(value);
  nodes.forEach((node, index) => {
    for (const value of usedValues(node)) if (preventsCut(value)) lastUse.set(value, index);
  });
  const producedValues = new Set(nodes.flatMap((node) => node.outputs));
  const outsideValues = new Set([...lastUse.keys()].filter((value) => !producedValues.has(value)));
  // A model input is alive only from its first use, so that an input that is used late does not prevent earlier cuts.
  const alive = new Set([...outsideValues].filter(({ producer }) => producer !== undefined));
  const cuts: Value[] = [];
  nodes.forEach((node, index) => {
    for (const value of usedValues(node)) {
      if (lastUse.get(value) === index) alive.delete(value);
      else if (lastUse.has(value)) alive.add(value);
    }
    for (const output of node.outputs) if (output !== undefined && lastUse.has(output)) alive.add(output);
    const [aliveValue] = alive;
    // A value of unknown type, or a sequence, cannot become a model input.
    if (alive.size !== 1 || aliveValue?.type === undefined || outsideValues.has(aliveValue)) return;
    if (cuts.at(-1) !== aliveValue) cuts.push(aliveValue);
  });
  return cuts;
}
