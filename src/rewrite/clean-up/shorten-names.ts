import { allLayers, infer } from "#analysis";
import { allGraphs, type Model, type Value } from "#ir";
import { counted } from "../../core/numbers.ts";
import { change, defineCleanUp } from "./clean-up.ts";

/**
 * Gives short names to computed values and to stored sizes and indices. Names of inputs, outputs, weights and layers are kept.
 * @example
 * await shortenNames(model); // "/encoder/layer.0/attention/MatMul_output_0" becomes "a"
 */
export const shortenNames = defineCleanUp("short-names", "Shorten the names of intermediate values", (model) => {
  const graphs = [...allGraphs(model.graph)];
  const usedNames = new Set(graphs.flatMap((graph) => [...graph.values()].map(({ name }) => name)));
  const kept = namedValues(model);
  let index = 0;
  let count = 0;
  for (const graph of graphs) {
    for (const value of [...graph.values()]) {
      if (kept.has(value) || (value.producer === undefined && !isSizeOrIndex(value))) continue;
      let name: string;
      do name = shortName(index++);
      while (usedNames.has(name));
      if (name.length >= value.name.length) continue;
      graph.rename(value, name);
      count++;
    }
  }
  return count === 0 ? [] : [change(counted(count, "value"), "name shortened")];
});

/** Returns the values whose names are kept: inputs, outputs, values with roles, and outputs of layers, because a layer can be named after its output. */
function namedValues(model: Model): ReadonlySet<Value> {
  const graphs = [...allGraphs(model.graph)];
  const layerOutputs = [...allLayers(model, infer(model))].flatMap(({ node }) => node.outputs);
  const interfaceValues = graphs.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
  const withRoles = graphs.flatMap((graph) => [...graph.values()].filter(({ role }) => role !== undefined));
  return new Set([...interfaceValues, ...withRoles, ...layerOutputs].filter((value) => value !== undefined));
}

const isSizeOrIndex = ({ tensor }: Value): boolean => tensor?.type === "int64" || tensor?.type === "int32";

/** Returns names in order of their length: a, b, …, z, aa, ab, … */
function shortName(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : shortName(Math.floor(index / 26) - 1) + letter;
}
