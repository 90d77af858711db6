/**
 * Replaces an `If` whose condition is known by its branch.
 *      y = If(true) {then_branch = (z) { z = Relu(x) }, else_branch = …}        →        y = Relu(x)
 * Names inside the branch stay if they are free. An Identity gives a named output a stored tensor, or a value that is output twice.
 */
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { allGraphs, describe, type Graph, type Node } from "../../core/graph/graph.ts";
import { inlineGraph, restoreNames } from "../../core/graph/inline.ts";
import { replaceUses } from "../../core/graph/replace.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";
import { protectedValues } from "./protected.ts";

export const resolveConditions = definePass({
  id: "resolve-conditions",
  summary: "Inline the branch of an If whose condition is known",
  options: noOptions,
  async run(model) {
    const changes: Change[] = [];
    // A branch can compute the condition of the next.
    for (let found = true; found; ) {
      found = false;
      const inference = infer(model);
      const isHeld = protectedValues(model, inference);
      for (const graph of [...allGraphs(model.graph)]) {
        for (const node of graph.nodes()) {
          const [condition] = node.inputs;
          const taken = branchTaken(node, inference);
          if (taken === undefined || condition === undefined || isHeld(condition)) continue;
          const at = describe(node);
          takeBranch(graph, node, taken.branch);
          changes.push({ at, what: `branch inlined: its condition is always ${taken.truth}`, decidedBy: "global" });
          found = true;
        }
        // Subgraphs of a removed If are no longer in the model.
        if (found) break;
      }
    }
    return { changes, misses: [] };
  },
});

function branchTaken(
  node: Node,
  inference: Inference,
): { readonly truth: boolean; readonly branch: Graph } | undefined {
  const [yes, no] = [node.attributes.get("then_branch"), node.attributes.get("else_branch")];
  const [condition] = node.inputs;
  if (yes?.kind !== "graph" || no?.kind !== "graph" || condition === undefined) return undefined;
  const { small, elements } = inference.operand(condition) ?? {};
  const element = small?.data[0] ?? elements?.[0];
  if (element === undefined || typeof element === "object") return undefined;
  const truth = Number(element) !== 0;
  return { truth, branch: truth ? yes.value : no.value };
}

function takeBranch(graph: Graph, node: Node, branch: Graph): void {
  const inlined = inlineGraph(branch, graph, { before: node });
  node.outputs.forEach((output, index) => {
    const made = inlined.outputs[index];
    if (output === undefined || made === undefined) return;
    if (made.stated === undefined && output.stated !== undefined) made.type = output.stated;
    replaceUses(output, made);
  });
  graph.removeNode(node);
  restoreNames(graph, inlined);
}
