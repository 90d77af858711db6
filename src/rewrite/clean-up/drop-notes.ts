import { allLayers, canNameLayer, infer, scopesKey, weightName } from "#analysis";
import { allGraphs, nodeText, statesMoreThanNotes } from "#ir";
import { isExporterKey, removeExporterMetadata } from "#pass";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";

/** Removes exporter metadata, including module paths that name no layer. Keeps names of layers. */
export const dropNotes = defineCleanUp("drop-notes", "Remove the exporter's metadata", (model) => {
  const clearedNames = new Set(removeExporterMetadata(model));
  const unnamedNodes = new Set(
    [...allLayers(model, infer(model))].flatMap((layer) => (canNameLayer(weightName(layer)) ? [] : [layer.node])),
  );
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes()) {
      const scopes = node.metadata.get(scopesKey);
      const remaining = unnamedNodes.has(node) ? keepInnermostScopes(scopes) : undefined;
      if (scopes === remaining) continue;
      const otherMetadata = [...node.metadata].filter(([key]) => key !== scopesKey);
      node.metadata = new Map(remaining === undefined ? otherMetadata : [...otherMetadata, [scopesKey, remaining]]);
      clearedNames.add(nodeText(node));
    }
    const interfaceValues = new Set([...graph.inputs, ...graph.outputs]);
    for (const value of graph.values()) {
      if (value.tensor === undefined || !value.declared || interfaceValues.has(value)) continue;
      if (value.foreign?.info !== undefined && statesMoreThanNotes(value.foreign.info, isExporterKey)) continue;
      value.declared = false;
      clearedNames.add(value.name);
    }
  }
  return [...clearedNames].map((at) => cleanUpChange(at, "exporter's metadata removed"));
});

/** Shortens a list of nested modules: "['', 'a', 'a.b', 'linear']" becomes "['a.b', 'linear']". */
function keepInnermostScopes(scopes: string | undefined): string | undefined {
  const parts = scopes?.match(/'[^']*'/g) ?? [];
  return parts.length < 3 ? scopes : `[${parts.slice(-2).join(", ")}]`;
}
