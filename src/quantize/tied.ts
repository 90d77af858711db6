/** Matrices that a layer shares with something that stays in float: the table of an embedding that is the last layer too, above all. */
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { type Selection, selectLayers } from "../analysis/selection.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { weightMiss } from "./weight.ts";

/**
 * Of each layer that would be quantized, by name, the first node that reads its matrix as it is stored and is no layer, if there is one.
 * Layers that were not selected are left to whoever selects.
 */
export function floatReaders(model: Model, selection: Selection): ReadonlyMap<string, Node> {
  const inference = infer(model);
  const all = layers(model, inference);
  const chosen = selectLayers(all, selection).filter((layer) => weightMiss(layer) === undefined);
  const weights = new Set(all.map(({ node, role }) => node.inputs[role.input]));
  const weighted = new Set(all.map(({ node }) => node));
  const isStored = (value: Value | undefined): boolean =>
    value !== undefined && inference.operand(value)?.stored === true;
  const readerOf = (value: Value): Node | undefined => {
    for (const { node } of value.uses) {
      if (weighted.has(node) && weights.has(value)) continue;
      const [output] = node.outputs;
      const found = isStored(output) && output !== undefined ? readerOf(output) : node;
      if (found !== undefined) return found;
    }
    return undefined;
  };
  // Once for a weight that many layers share.
  const readers = new Map([...new Set(chosen.map(({ weight }) => weight))].map((weight) => [weight, readerOf(weight)]));
  return new Map(
    chosen.flatMap(({ name, weight }) => {
      const reader = readers.get(weight);
      return reader === undefined ? [] : [[name, reader] as const];
    }),
  );
}
