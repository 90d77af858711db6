/** Other nodes in the place of one. */
import type { Node, Value } from "./graph.ts";

/**
 * Puts values in the place of what a node makes, one for each output, under the same names (`Graph.substitute`), and removes the node. What
 * the file states of an output holds for the value that a node makes in its place.
 * @throws PithError E_MODEL if an output without such a value is used.
 */
export function replaceNode(node: Node, values: readonly (Value | undefined)[]): void {
  const { graph } = node;
  const outputs = [...node.outputs];
  outputs.forEach((output, index) => {
    const value = values[index];
    if (output === undefined || value === undefined) return;
    if (value.producer !== undefined) value.type = output.stated ?? value.type;
    graph.substitute(output, value);
  });
  // With the last output that is used it has gone already.
  if (outputs.some((output) => output !== undefined && graph.ownValue(output.name) === output)) graph.removeNode(node);
}
