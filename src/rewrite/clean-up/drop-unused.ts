import { allGraphs, allNodes, isUsed, type Model, removeUnused } from "#ir";
import type { Change } from "#pass";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";

/** Removes unused nodes, stored tensors, opset imports and weights among the inputs. Other inputs are the model's interface. */
export const dropUnused = defineCleanUp("drop-unused", "Remove nodes that no output depends on", (model) => {
  const changes: Change[] = [];
  const report = (at: string): void => void changes.push(cleanUpChange(at, "removed: no output depends on it"));
  // Innermost graphs first: values that only a removed node used become unused.
  for (const graph of [...allGraphs(model.graph)].reverse()) {
    const storedNames = [...graph.values()].filter(({ tensor }) => tensor !== undefined).map(({ name }) => name);
    const count = removeUnused(graph);
    if (count > 0) report(`${count} nodes`);
    for (const value of graph.inputs) if (value.tensor !== undefined && !isUsed(value)) graph.removeValue(value);
    for (const name of storedNames) if (graph.ownValue(name) === undefined) report(name);
  }
  dropImports(model, report);
  return changes;
});

/** Functions can use any opset. */
function dropImports({ graph, header }: Model, report: (at: string) => void): void {
  if (header.functions.length > 0) return;
  const usedDomains = new Set(Array.from(allNodes(graph), ({ domain }) => domain));
  for (const domain of [...header.opsets.keys()]) {
    if (domain === "" || usedDomains.has(domain)) continue;
    header.opsets.delete(domain);
    report(`operator set ${domain}`);
  }
}
