/** Finds matrices shared with a float reader, mainly embedding tables that are also the last layer. */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { type Selection, selectLayers } from "../../core/analysis/selection.ts";
import type { Node, Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { turnsTable } from "./formats/lookup.ts";
import { weightMiss } from "./weight.ts";

/** Returns, by layer to quantize, the first node that reads its matrix in float and cannot share the quantized values. */
export function floatReaders(model: Model, selection: Selection): ReadonlyMap<string, Node> {
  const inference = infer(model);
  const all = allLayers(model, inference);
  const isTable = ({ role }: Layer): boolean => role.kind === "lookup";
  const chosen = selectLayers(all, selection).filter((layer) => weightMiss(layer) === undefined);
  const chosenNodes = new Set(chosen.map(({ node }) => node));
  const tableNodes = new Set(all.filter(isTable).map(({ node }) => node));
  /** Returns whether all chosen readers of a matrix read the same quantized values. */
  const shares = (weight: Value): boolean => {
    const readers = chosen.filter((layer) => layer.weight === weight);
    const looks = readers.filter(isTable);
    return readers.every((layer) =>
      looks.every((table) => layer.effective === table.effective || turnsTable(layer, table, inference)),
    );
  };
  const weights = new Set(all.map(({ node, role }) => node.inputs[role.input]));
  const weighted = new Set(all.map(({ node }) => node));
  const isStored = (value: Value | undefined): boolean =>
    value !== undefined && inference.operand(value)?.stored === true;
  const readerOf = (value: Value, toTable: boolean, shared: boolean): Node | undefined => {
    for (const { node } of value.uses) {
      const isAlike = tableNodes.has(node) === toTable || (shared && chosenNodes.has(node));
      if (weighted.has(node) && weights.has(value) && isAlike) continue;
      const [output] = node.outputs;
      const found = isStored(output) && output !== undefined ? readerOf(output, toTable, shared) : node;
      if (found !== undefined) return found;
    }
    return undefined;
  };
  // Computed once for a weight that many layers share.
  const readers = [true, false].map((toTable) => {
    const own = chosen.filter((layer) => isTable(layer) === toTable);
    const found = [...new Set(own.map(({ weight }) => weight))];
    return new Map(found.map((weight) => [weight, readerOf(weight, toTable, shares(weight))]));
  });
  return new Map(
    chosen.flatMap((layer) => {
      const { name, weight } = layer;
      const reader = readers[isTable(layer) ? 0 : 1]?.get(weight);
      return reader === undefined ? [] : [[name, reader] as const];
    }),
  );
}
