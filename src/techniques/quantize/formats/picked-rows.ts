import type { Layer } from "../../../core/analysis/layers.ts";
import type { Emit } from "../../../core/graph/emit.ts";
import type { Value } from "../../../core/graph/graph.ts";
import { replaceNode } from "../../../core/graph/replace.ts";
import { typeCodes } from "../../../core/tensor/types.ts";
import { handOnLayerName, keepLayerName } from "../../../rewrite/edit/keep-layer-name.ts";

/** @param pick returns the selected rows and their float32 values. */
export function pickRows(
  emit: Emit,
  layer: Layer,
  pick: (indices: Value, output: string) => { readonly rows: Value; readonly numbers: Value },
): void {
  const { node, role, effective } = layer;
  const [output] = node.outputs;
  const indices = node.inputs[role.data];
  if (output === undefined || indices === undefined) return;
  keepLayerName(layer);
  const { rows, numbers } = pick(indices, output.name);
  replaceNode(node, [typedAs(emit, numbers, effective)]);
  handOnLayerName(layer, rows);
}

export function typedAs(emit: Emit, numbers: Value, { type }: Value): Value {
  const read = type?.type ?? "float32";
  return read === "float32" ? numbers : emit.Cast([numbers], { to: typeCodes[read] });
}
