/** Removes unused nodes, stored tensors, opset imports and weights among the inputs. Other inputs stay: they are the model's interface. */
import { allGraphs, allNodes, type Graph } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { removeUnused } from "../../core/graph/remove-unused.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";

export const dropUnused = definePass({
  id: "drop-unused",
  summary: "Remove nodes that no output depends on",
  options: noOptions,
  async run(model) {
    const changes: Change[] = [];
    const say = (at: string): void => {
      changes.push({ at, what: "removed: no output depends on it", decidedBy: "global" });
    };
    // Innermost graphs first: a removed node releases what its subgraphs used.
    for (const graph of [...allGraphs(model.graph)].reverse()) {
      const stored = [...graph.values()].filter(({ tensor }) => tensor !== undefined).map(({ name }) => name);
      const count = removeUnused(graph);
      if (count > 0) say(`${count} nodes`);
      dropListedWeights(graph);
      for (const name of stored) if (graph.ownValue(name) === undefined) say(name);
    }
    dropImports(model, say);
    return { changes, misses: [] };
  },
});

function dropListedWeights(graph: Graph): void {
  for (const value of [...graph.inputs]) {
    if (value.tensor === undefined || value.uses.size > 0 || graph.isOutput(value)) continue;
    graph.removeValue(value);
  }
}

/** Functions of the model can use any opset, so then all imports stay. */
function dropImports({ graph, header }: Model, say: (at: string) => void): void {
  if (header.functions.length > 0) return;
  const used = new Set<string>();
  for (const { domain } of allNodes(graph)) used.add(domain);
  for (const domain of [...header.opsets.keys()]) {
    if (domain === "" || used.has(domain)) continue;
    header.opsets.delete(domain);
    say(`operator set ${domain}`);
  }
}
