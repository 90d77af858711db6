/**
 * Inlines the model's own functions: an exporter's custom node becomes the operators that all analyses know. A function with another opset version
 * than the model stays, with a reason; all stay if they expand to too many nodes.
 */
import { calledFunction } from "#analysis";
import type { LocalFunction, Model, Node } from "#ir";
import {
  allNodes,
  canTakeName,
  functionOf,
  inlineGraph,
  instantiate,
  Miss,
  nodeText,
  replaceUses,
  restoreNames,
  subgraphs,
  whyNotExpanded,
  whyNotInlined,
} from "#ir";
import { type Change, definePass, noOptions } from "#pass";
import { cleanUpChange } from "./clean-up.ts";

export const inlineFunctions = definePass({
  id: "inline-functions",
  summary: "Inline the functions of the model",
  options: noOptions,
  async run(model) {
    const changes: Change[] = [];
    const misses = new Map<string, Miss>();
    if (model.functions.length === 0) return { changes, misses: [] };
    const tooLarge = whyNotExpanded(model);
    if (tooLarge !== undefined) return { changes, misses: [new Miss(tooLarge, "the functions of the model")] };
    const pending = [...allNodes(model.graph)].reverse();
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      const callee = calledFunction(model, node);
      if (callee === undefined) continue;
      const at = nodeText(node);
      const reason = whyNotInlined(model, callee);
      if (reason !== undefined) misses.set(at, new Miss(reason, at));
      else {
        const inlinedNodes = inline(model, node, callee);
        changes.push(cleanUpChange(at, "written out"));
        for (const next of inlinedNodes.toReversed())
          pending.push(...[next, ...subgraphs(next).flatMap((graph) => [...allNodes(graph)])].reverse());
      }
    }
    if (dropFunctions(model)) changes.push(cleanUpChange("the model", "unused functions removed"));
    return { changes, misses: [...misses.values()] };
  },
});

function inline(model: Model, node: Node, callee: LocalFunction): readonly Node[] {
  const { graph } = node;
  for (const [domain, version] of callee.opsets)
    if (!model.header.opsets.has(domain) && domain !== "") model.header.opsets.set(domain, version);
  const body = instantiate(callee, node);
  const operands = new Map(body.inputs.map((input, index) => [input, node.inputs[index]] as const));
  const inlinedBody = inlineGraph(body, graph, { before: node, replacements: operands });
  node.outputs.forEach((output, index) => {
    const result = inlinedBody.outputs[index];
    if (output === undefined || result === undefined) return;
    if (output.stated !== undefined && result.producer !== undefined) result.type = output.stated;
    replaceUses(output, result);
    if (!inlinedBody.names.has(result) || !canTakeName(result, graph)) return;
    const { name } = output;
    graph.rename(output, graph.freshName(`${name}_replaced`));
    graph.rename(result, name);
  });
  const outputs = new Set(inlinedBody.outputs);
  graph.removeNode(node);
  restoreNames(graph, { names: new Map([...inlinedBody.names].filter(([value]) => !outputs.has(value))) });
  return inlinedBody.nodes;
}

/** Removes functions that are not called, directly or indirectly. If some are unreadable, removes all or none. */
function dropFunctions(model: Model): boolean {
  const { header, functions } = model;
  const calledFunctions = new Set<LocalFunction>();
  const pending = [model.graph];
  for (const graph of pending)
    for (const node of allNodes(graph)) {
      const local = functionOf(model, node);
      if (local === undefined || calledFunctions.has(local)) continue;
      calledFunctions.add(local);
      pending.push(local.graph);
    }
  if (calledFunctions.size === functions.length) return false;
  if (functions.length === header.functions.length)
    header.functions = header.functions.filter((_, index) => calledFunctions.has(functions[index] as LocalFunction));
  else if (calledFunctions.size === 0) header.functions = [];
  else return false;
  model.functions = functions.filter((local) => calledFunctions.has(local));
  return true;
}
