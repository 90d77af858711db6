/** Nodes that draw random numbers: two runs differ, so they are never evaluated in advance and never merged. */
import type { Node } from "../graph/graph.ts";
import { entryOf } from "../ops/index.ts";

/** Whether a node's entry says that it draws random numbers. */
export function isRandom(node: Node): boolean {
  return entryOf(node)?.random?.(node.inputs) ?? false;
}
