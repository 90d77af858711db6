import { PithError } from "../errors.ts";

/**
 * Sorts topologically, depth first and without recursion. The sort is stable.
 * @param needsOf Returns the nodes that must come before a node.
 * @throws PithError E_MODEL for a cycle.
 */
export function inOrder<N>(
  nodes: readonly N[],
  needsOf: (node: N) => readonly N[],
  nameOf: (node: N) => string,
): readonly N[] {
  const order: N[] = [];
  const state = new Map<N, "open" | "done">();
  for (const root of nodes) {
    if (state.has(root)) continue;
    const stack = [{ node: root, needs: needsOf(root), next: 0 }];
    state.set(root, "open");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const need = top.needs[top.next++];
      if (need === undefined) {
        state.set(top.node, "done");
        order.push(top.node);
        stack.pop();
      } else if (state.get(need) === "open") {
        throw new PithError("E_MODEL", `${nameOf(need)} depends on itself.`);
      } else if (state.get(need) === undefined) {
        state.set(need, "open");
        stack.push({ node: need, needs: needsOf(need), next: 0 });
      }
    }
  }
  return order;
}
