/** Nodes that draw random numbers: two runs differ, so they are never evaluated in advance and never merged. */
import type { Node } from "../graph/graph.ts";
import { operators, type Registry } from "../ops/index.ts";

/** Whether a node's entry says that it draws random numbers. */
export function isRandom({ domain, op, inputs }: Node, registry: Registry = operators): boolean {
  return registry.find(domain, op)?.random?.(inputs) ?? false;
}
