/**
 * Operators on codes, in the place of DequantizeLinear, operator and QuantizeLinear (`qdq.ts`):
 *
 *     x' = DequantizeLinear(q, s, z);  h = Conv(x', w', b')        p = QLinearConv(q, s, z, w_quantized, w_scale, …, t, u, b_quantized)
 *     p = QuantizeLinear(h, t, u)
 *
 * Runtimes that know QuantizeLinear and fuse do the same when they load a model. What has no such form stays between roundings.
 */
import { type Inference, infer } from "../../analysis/infer.ts";
import { Miss } from "../../errors.ts";
import { type Emit, emitInto } from "../../graph/emit.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { pattern } from "../../graph/pattern.ts";
import { replaceNode } from "../../graph/replace.ts";
import type { Coded } from "../../ops/index.ts";
import { removeUnused } from "../../passes/remove-unused.ts";

const numbersAt = pattern(["codes", "scale", "zeroPoint"], (emit, { codes, scale, zeroPoint }) =>
  emit.DequantizeLinear([codes, scale, zeroPoint]),
);
const roundedAt = pattern(["numbers", "scale", "zeroPoint"], (emit, { numbers, scale, zeroPoint }) =>
  emit.QuantizeLinear([numbers, scale, zeroPoint]),
);

/** Writes operators between roundings as operators on codes. */
export function writeOnCodes(model: Model): void {
  const inference = infer(model);
  for (const node of [...model.graph.nodes()]) {
    const [output, ...others] = node.outputs;
    if (output === undefined || others.length > 0 || output.uses.size !== 1 || model.graph.isOutput(output)) continue;
    for (const { node: reader } of [...output.uses]) {
      const result = reader.outputs[0] && roundedAt(reader.outputs[0]);
      if (result === undefined) continue;
      const emit = emitInto(model, { before: node, by: "quantize", onNode: inference.visit });
      const codes = onCodes(node, result, inference, emit.named(`${output.name}_codes`));
      if (codes === undefined) continue;
      replaceNode(reader, [codes]);
      if (codes.producer !== undefined) codes.producer.name = node.name;
    }
  }
  removeUnused(model.graph);
}

function onCodes(node: Node, y: Omit<Coded, "codes">, inference: Inference, emit: Emit): Value | undefined {
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss || rule.kind === "clamp") return undefined;
  const codedAt = (input: number): Coded | undefined => {
    const value = node.inputs[input];
    const coded = value && numbersAt(value);
    return coded !== undefined && isByte(coded.codes) ? coded : undefined;
  };
  if (rule.kind === "transparent") {
    const x = codedAt(0);
    if (x === undefined) return undefined;
    const { op, domain, attributes, graph } = node;
    const inputs = [x.codes, ...node.inputs.slice(1)];
    const [moved] = graph.addNode({ op, domain, attributes: new Map(attributes), inputs }, { before: node }).outputs;
    if (moved !== undefined && x.codes.type !== undefined)
      moved.type = { type: x.codes.type.type, dims: node.outputs[0]?.type?.dims };
    return moved;
  }
  if (rule.kind === "activation") {
    const operands = rule.inputs.flatMap((input) => codedAt(input) ?? []);
    return operands.length < rule.inputs.length ? undefined : rule.onCodes?.(emit, operands, y, node.inputs);
  }
  const { data, input, bias } = rule.weight;
  const [x, w] = [codedAt(data), storedAt(node.inputs[input])];
  const added = bias === undefined ? undefined : node.inputs[bias];
  const sums = storedAt(added);
  if (x === undefined || w === undefined || !isByte(w.codes) || (added !== undefined && sums === undefined))
    return undefined;
  return rule.onCodes?.(emit, x, w, sums?.codes, y);
}

/** Stored codes of which a value is made, with scales along an axis, too. */
function storedAt(value: Value | undefined): Coded | undefined {
  const [codes, scale, zeroPoint] = value?.producer?.inputs ?? [];
  if (codes === undefined || scale === undefined || zeroPoint === undefined) return undefined;
  return /^u?int(8|32)$/.test(codes.type?.type ?? "") ? { codes, scale, zeroPoint } : undefined;
}

const isByte = ({ type }: Value): boolean => type?.type === "int8" || type?.type === "uint8";
