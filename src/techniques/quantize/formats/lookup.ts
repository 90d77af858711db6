/**
 * An embedding table in 8 bits. Rows are dequantized after they are selected, so memory never holds the float table:
 *
 *     h = Gather(embed.weight, ids)        r = Gather(embed.weight_quantized, ids)      # int8[…, D]
 *                                          s = Gather(embed.weight_scale, ids)          # float32[…]
 *                                          h = Mul(DequantizeLinear(r, 1), Unsqueeze(s, -1))
 */
import { type Inference, type Layer, storedOutputAxis } from "#analysis";
import { type Emit, fromNumbers, replaceNode, typeCodes, type Value } from "#ir";
import { keepLayerName, passOnLayerName } from "../../../rewrite/edit/keep-layer-name.ts";
import type { WeightSettings } from "../weights/weight-settings.ts";
import type { StoredCodes } from "./dequantize-linear.ts";

/** Returns whether a layer multiplies by the transposed table, so that its outputs correspond to rows of the table. */
export function readsTableTransposed(layer: Layer, table: Layer, inference: Inference): boolean {
  const { producer } = layer.effective;
  if (table.effective !== layer.weight || producer?.inputs.length !== 1 || producer.inputs[0] !== layer.weight)
    return false;
  const outputs = storedOutputAxis(layer, inference);
  return layer.role.out === 1 && outputs?.axis === table.role.in && !outputs.isRenumbered;
}

export const readsTable = (layer: Layer, table: Layer, inference: Inference): boolean =>
  layer.effective === table.effective
    ? layer.role.out === table.role.in
    : readsTableTransposed(layer, table, inference);

/** Writes a lookup that selects and then dequantizes rows. */
export function writeLookup(
  emit: Emit,
  layer: Layer,
  storedCodes: StoredCodes & { readonly axis: number | undefined },
  type: WeightSettings["type"],
): void {
  pickRows(emit, layer, (indices, output) => {
    const rows = emit.named(`${output}_codes`).Gather([storedCodes.codes, indices], { axis: layer.role.in });
    const numbers =
      storedCodes.axis === undefined
        ? emit.DequantizeLinear([rows, storedCodes.scale, storedCodes.zeroPoint])
        : scaleRows(emit, rows, indices, storedCodes.scale, type);
    return { rows, numbers };
  });
}

/** Scales rows with Mul: DequantizeLinear supports scales along one axis only, but selected rows have scales along all index axes. */
function scaleRows(emit: Emit, rows: Value, indices: Value, scale: Value, type: WeightSettings["type"]): Value {
  const unit = emit.constant(fromNumbers("float32", [], [1]), `${rows.name}_unit`);
  const zeroPoints = type === "int8" ? [] : [emit.constant(fromNumbers(type, [], [128]), `${rows.name}_zero_point`)];
  const selectedScales = emit.Gather([scale, indices], { axis: 0 });
  const last = emit.constant(fromNumbers("int64", [1], [-1]), "last");
  return emit.Mul([emit.DequantizeLinear([rows, unit, ...zeroPoints]), emit.Unsqueeze([selectedScales, last])]);
}

/** Replaces a lookup. @param pick returns the selected quantized rows and their float32 values. */
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
  replaceNode(node, [castToTypeOf(emit, numbers, effective)]);
  passOnLayerName(layer, rows);
}

export function castToTypeOf(emit: Emit, numbers: Value, { type }: Value): Value {
  const targetType = type?.type ?? "float32";
  return targetType === "float32" ? numbers : emit.Cast([numbers], { to: typeCodes[targetType] });
}
