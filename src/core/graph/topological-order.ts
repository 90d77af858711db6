import { modelError } from "../errors.ts";

/**
 * Sorts nodes, and the nodes that they depend on, topologically: depth first, without recursion.
 * @param needsOf Returns the nodes that must come before a node.
 * @throws PithError E_MODEL if a node depends on itself.
 */
export function sortTopologically<N>(
  nodes: readonly N[],
  needsOf: (node: N) => readonly N[],
  nameOf: (node: N) => string,
): readonly N[] {
  const order: N[] = [];
  const stateOf = new Map<N, "open" | "done">();
  for (const root of nodes) {
    if (stateOf.has(root)) continue;
    const stack = [{ node: root, needs: needsOf(root), next: 0 }];
    stateOf.set(root, "open");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const need = top.needs[top.next++];
      if (need === undefined) {
        stateOf.set(top.node, "done");
        order.push(top.node);
        stack.pop();
      } else if (stateOf.get(need) === "open") {
        throw modelError(`${nameOf(need)} depends on itself.`);
      } else if (stateOf.get(need) === undefined) {
        stateOf.set(need, "open");
        stack.push({ node: need, needs: needsOf(need), next: 0 });
      }
    }
  }
  return order;
}
