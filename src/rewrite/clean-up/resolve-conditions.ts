/**
 * Replaces an `If` whose condition is known by its branch.
 *   y = If(true) {then_branch = (z) { z = Relu(x) }, else_branch = …}    →    y = Relu(x)
 */
import { type Inference, infer } from "#analysis";
import { allGraphs, type Graph, inlineGraph, type Node, nodeText, replaceUses, restoreNames } from "#ir";
import type { Change } from "#pass";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";

export const resolveConditions = defineCleanUp(
  "resolve-conditions",
  "Inline the branch of an If whose condition is known",
  (model) => {
    const changes: Change[] = [];
    // A branch can compute the condition of the next.
    for (let isChanged = true; isChanged; ) {
      isChanged = false;
      const inference = infer(model);
      const isProtected = protectedValues(model, inference);
      for (const graph of [...allGraphs(model.graph)]) {
        for (const node of graph.nodes()) {
          const [condition] = node.inputs;
          const branch = findBranch(node, inference);
          if (branch === undefined || condition === undefined || isProtected(condition)) continue;
          const at = nodeText(node);
          inlineBranch(graph, node, branch.graph);
          changes.push(cleanUpChange(at, `branch inlined: its condition is always ${branch.truth}`));
          isChanged = true;
        }
        // Subgraphs of a removed If are no longer in the model.
        if (isChanged) break;
      }
    }
    return changes;
  },
);

function findBranch(node: Node, inference: Inference): { readonly truth: boolean; readonly graph: Graph } | undefined {
  const [thenBranch, elseBranch] = [node.attributes.get("then_branch"), node.attributes.get("else_branch")];
  const [condition] = node.inputs;
  if (thenBranch?.kind !== "graph" || elseBranch?.kind !== "graph" || condition === undefined) return undefined;
  const { small, elements } = inference.operand(condition) ?? {};
  const element = small?.data[0] ?? elements?.[0];
  if (element === undefined || typeof element === "object") return undefined;
  const truth = Number(element) !== 0;
  return { truth, graph: truth ? thenBranch.value : elseBranch.value };
}

function inlineBranch(graph: Graph, node: Node, branch: Graph): void {
  const inlinedBranch = inlineGraph(branch, graph, { before: node });
  node.outputs.forEach((output, index) => {
    const result = inlinedBranch.outputs[index];
    if (output === undefined || result === undefined) return;
    if (result.stated === undefined && output.stated !== undefined) result.type = output.stated;
    replaceUses(output, result);
  });
  graph.removeNode(node);
  restoreNames(graph, inlinedBranch);
}
