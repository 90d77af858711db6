/**
 * Replaces DequantizeLinear, operator and QuantizeLinear (`qdq.ts`) by an operator on quantized values:
 *
 *     x' = DequantizeLinear(q, s, z);  h = Conv(x', w', b')        p = QLinearConv(q, s, z, w_quantized, w_scale, …, t, u, b_quantized)
 *     p = QuantizeLinear(h, t, u)
 *
 * Operators without such a form stay as they are.
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

export function writeOnCodes(model: Model): void {
  const inference = infer(model);
  for (const node of [...model.graph.nodes()]) {
    const rounded = node.outputs.flatMap((output) => {
      const [use, ...others] = [...(output?.uses ?? [])];
      const [codes] = use?.node.outputs ?? [];
      const result = codes && others.length === 0 ? roundedAt(codes) : undefined;
      if (output === undefined || use === undefined || result === undefined) return [];
      return result.numbers === output && !model.graph.isOutput(output) ? [{ output, reader: use.node, result }] : [];
    });
    const [first] = rounded;
    if (first === undefined || rounded.length < node.outputs.length) continue;
    const emit = emitInto(model, { before: node, by: "quantize", onNode: inference.visit });
    const codes = onCodes(node, first.result, inference, emit.named(`${first.output.name}_codes`));
    const read = node.inputs[0]?.producer?.inputs[0];
    for (const [at, { reader }] of rounded.entries()) {
      const made = codes[at];
      if (made === undefined) continue;
      if (made !== read && made.producer !== undefined) made.producer.name = node.name;
      replaceNode(reader, [made]);
    }
  }
  removeUnused(model.graph);
}

/** Returns the replacement of a node; empty if it has no form on quantized values. */
function onCodes(node: Node, y: Omit<Coded, "codes">, inference: Inference, emit: Emit): readonly Value[] {
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss || rule.kind === "clamp") return [];
  const codedAt = (input: number): Coded | undefined => {
    const value = node.inputs[input];
    const coded = value && numbersAt(value);
    return coded !== undefined && isByte(coded.codes) ? coded : undefined;
  };
  if (rule.kind === "transparent") {
    const x = codedAt(0);
    if (x === undefined || x.scale !== y.scale || x.zeroPoint !== y.zeroPoint) return [];
    // Dropout does not accept integers.
    if (!(bound instanceof Miss) && bound.unchanged() === 0) return [x.codes];
    if (rule.onCodes !== undefined) return [rule.onCodes(emit, [x.codes, ...node.inputs.slice(1)], y.zeroPoint)];
    const { op, domain, attributes, graph } = node;
    const inputs = [x.codes, ...node.inputs.slice(1)];
    const spec = { op, domain, attributes: new Map(attributes), inputs, outputs: node.outputs.length };
    const made = graph.addNode(spec, { before: node });
    const type = x.codes.type?.type;
    for (const [at, moved] of made.outputs.entries())
      if (moved !== undefined && type !== undefined) moved.type = { type, dims: node.outputs[at]?.type?.dims };
    return made.outputs.flatMap((moved) => moved ?? []);
  }
  if (rule.kind === "activation") {
    const operands = rule.inputs.flatMap((input) => codedAt(input) ?? []);
    const codes = operands.length < rule.inputs.length ? undefined : rule.onCodes?.(emit, operands, y, node.inputs);
    return codes === undefined ? [] : [codes];
  }
  const { data, input, bias } = rule.weight;
  const [x, w] = [codedAt(data), storedAt(node.inputs[input])];
  const added = bias === undefined ? undefined : node.inputs[bias];
  const sums = storedAt(added);
  if (x === undefined || w === undefined || !isByte(w.codes) || (added !== undefined && sums === undefined)) return [];
  const codes = rule.onCodes?.(emit, x, w, sums?.codes, y);
  return codes === undefined ? [] : [codes];
}

function storedAt(value: Value | undefined): Coded | undefined {
  const [codes, scale, zeroPoint] = value?.producer?.inputs ?? [];
  if (codes === undefined || scale === undefined || zeroPoint === undefined) return undefined;
  return /^u?int(8|32)$/.test(codes.type?.type ?? "") ? { codes, scale, zeroPoint } : undefined;
}

const isByte = ({ type }: Value): boolean => type?.type === "int8" || type?.type === "uint8";
