import { namesLayer, scopesKey } from "../../core/analysis/layer-names.ts";
import { allGraphs, describe, type Node, type Value } from "../../core/graph/graph.ts";
import { statesMoreThanNotes } from "../../core/onnx/value-info.ts";
import { clearNotes, isExporterKey } from "../../core/pass/notes.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { change, defineCleanUp } from "./clean-up.ts";

/**
 * Removes exporter metadata from nodes, values and graphs: also the module paths of nodes that are no layers, and the types of stored tensors, which
 * the tensors state as well. Names of layers stay.
 * @example
 * await dropNotes(model);
 */
export const dropNotes = defineCleanUp("drop-notes", "Remove the exporter's metadata", (model) => {
  const cleared = new Set(clearNotes(model));
  for (const graph of allGraphs(model.graph)) {
    const constants = constantsIn(graph.nodes());
    for (const node of graph.nodes()) {
      const scopes = node.metadata.get(scopesKey);
      const remaining = readsUnnamedWeight(node, constants) ? innermost(scopes) : undefined;
      if (scopes === remaining) continue;
      const otherMetadata = [...node.metadata].filter(([key]) => key !== scopesKey);
      node.metadata = new Map(remaining === undefined ? otherMetadata : [...otherMetadata, [scopesKey, remaining]]);
      cleared.add(describe(node));
    }
    const interfaceValues = new Set([...graph.inputs, ...graph.outputs]);
    for (const value of graph.values()) {
      if (value.tensor === undefined || !value.declared || interfaceValues.has(value)) continue;
      if (value.foreign?.info !== undefined && statesMoreThanNotes(value.foreign.info, isExporterKey)) continue;
      value.declared = false;
      cleared.add(value.name);
    }
  }
  return [...cleared].map((at) => change(at, "exporter's metadata removed"));
});

/** Shortens a list of nested modules to the last module and the node: "['', 'a', 'a.b', 'linear']" becomes "['a.b', 'linear']". */
function innermost(scopes: string | undefined): string | undefined {
  const parts = scopes?.match(/'[^']*'/g) ?? [];
  return parts.length < 3 ? scopes : `[${parts.slice(-2).join(", ")}]`;
}

/** Returns the stored tensors behind each value that is computed from stored tensors alone. Nodes must be in order. */
function constantsIn(nodes: Iterable<Node>): ReadonlyMap<Value, ReadonlySet<Value>> {
  const roots = new Map<Value, ReadonlySet<Value>>();
  for (const { inputs, outputs } of nodes) {
    const operands = inputs.filter((input) => input !== undefined);
    const parts = operands.map((input) => (input.tensor === undefined ? roots.get(input) : new Set([input])));
    if (parts.length === 0 || parts.includes(undefined)) continue;
    const all = new Set(parts.flatMap((part) => [...(part ?? [])]));
    for (const output of outputs) if (output !== undefined) roots.set(output, all);
  }
  return roots;
}

/**
 * Returns whether the module path of a node can name a layer: it reads tensors without a layer's name. A vector next to a named weight is its bias.
 * Shapes and scalars are no weights.
 */
function readsUnnamedWeight(node: Node, constants: ReadonlyMap<Value, ReadonlySet<Value>>): boolean {
  const tensors = node.inputs.flatMap((input) => {
    if (input === undefined) return [];
    return input.tensor === undefined ? [...(constants.get(input) ?? [])] : [input];
  });
  const weights = tensors.filter(({ tensor }) => tensor?.type !== "int64" && elementCount(tensor?.dims ?? []) > 1);
  const unnamed = weights.filter(({ name }) => !namesLayer(name));
  return unnamed.some(({ tensor }) => unnamed.length === weights.length || (tensor?.dims.length ?? 0) > 1);
}
