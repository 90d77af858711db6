/** A stored tensor in place of what a node computes, under its name. */
import type { Value } from "../graph/graph.ts";
import { substitute } from "../graph/replace.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";

/** Stores what `output` always is. The node goes if its other outputs are not used either. */
export function storeInPlace(output: Value, content: Dense | Tensor): Value {
  const { graph, name, role } = output;
  const tensor = "read" in content ? content : inMemory(content);
  const stored = graph.addTensor(`${name}.stored`, tensor);
  substitute(output, stored);
  stored.role = role;
  return stored;
}
