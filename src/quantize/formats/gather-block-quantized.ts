/**
 * A table whose rows lie packed in blocks of few bits:
 *
 *     h = Gather(embed.weight, ids)     h = GatherBlockQuantized(embed.weight_quantized, ids, _scale, _zero_point) {bits, block_size, quantize_axis=1}
 *
 * Its bytes are those of MatMulNBits for the table's rows as outputs: with a last layer that multiplies with the table the codes are stored once, as
 * rows × blocks × bytes, and reshaped here.
 */
import type { Layer } from "../../analysis/layers.ts";
import type { Emit } from "../../graph/emit.ts";
import { replaceNode } from "../../graph/replace.ts";
import { keepLayerName } from "../../passes/keep-layer-name.ts";
import { int64 } from "../../tensor/dense.ts";
import { typeCodes } from "../../tensor/types.ts";
import type { StoredBlocks } from "./matmul-nbits.ts";

export function writeRows(emit: Emit, layer: Layer, stored: StoredBlocks): void {
  const { node, role, effective } = layer;
  const [output] = node.outputs;
  const indices = node.inputs[role.data];
  if (output === undefined || indices === undefined) return;
  keepLayerName(layer);
  const { codes, scale, zeroPoint, outputs, bits, block } = stored;
  const table =
    codes.type?.dims?.length === 2
      ? codes
      : emit.named(`${codes.name}_rows`).Reshape([codes, emit.constant(int64([2], [outputs, -1]), "rows")]);
  const rows = emit
    .named(`${output.name}_rows`)
    ["com.microsoft.GatherBlockQuantized"]([table, indices, scale, zeroPoint], {
      bits,
      block_size: block,
      gather_axis: role.in,
      quantize_axis: role.out,
    });
  const read = effective.type?.type ?? "float32";
  replaceNode(node, [read === "float32" ? rows : emit.Cast([rows], { to: typeCodes[read] })]);
  if (rows.producer !== undefined) rows.producer.name = node.name;
}
