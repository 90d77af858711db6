/** Finds values and nodes by name, and throws if the model lacks them. */
import type { Graph, Node, Value } from "../src/core/graph/graph.ts";
import type { Model } from "../src/core/graph/model.ts";

export function value(inside: Graph | Model, name: string): Value {
  const match = ("graph" in inside ? inside.graph : inside).value(name);
  if (match === undefined) throw new Error(`no value "${name}"`);
  return match;
}

export function producer(inside: Graph | Model, name: string): Node {
  const node = value(inside, name).producer;
  if (node === undefined) throw new Error(`nothing produces "${name}"`);
  return node;
}
