/**
 * QuantizeLinear and DequantizeLinear around float operators:
 *
 *     h = Conv(x, w, b)      q = QuantizeLinear(x, s, z);  x' = DequantizeLinear(q, s, z)
 *     a = Relu(h)            h = Conv(x', DequantizeLinear(w_quantized), DequantizeLinear(b_quantized))
 *                            a = DequantizeLinear(QuantizeLinear(h, …), …)          # quantized a starts at 0: Relu is saturation
 */
import type { Emit } from "../../../core/graph/emit.ts";
import type { Value } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { replaceReads, replaceUses, substitute } from "../../../core/graph/replace.ts";
import { fromNumbers } from "../../../core/tensor/convert.ts";
import type { MeasuredPlacement, ScaledType } from "../measure.ts";
import { isWide } from "../options.ts";

export function writeActivations({ graph }: Model, emit: Emit, { placement, scales, clamps }: MeasuredPlacement): void {
  // Quantized lookups have replaced values under the same names.
  const surviving = new Map(
    [...placement.activations.keys()].map((value) => [value, graph.value(value.name) ?? value]),
  );
  for (const { inputs, outputs } of clamps) {
    const [input] = inputs;
    const [output] = outputs;
    if (input === undefined || output === undefined) continue;
    substitute(output, input);
    surviving.set(output, input);
  }
  const codesOf = new Map<Value | undefined, Value>();
  const constants = new Map<ScaledType, readonly [scale: Value, zeroPoint: Value]>();
  for (const value of placement.activations.keys()) {
    const target = surviving.get(value) ?? value;
    const rule = scales.get(value);
    if (rule === undefined) continue;
    const { name } = target;
    const [scale, zeroPoint] = constants.get(rule) ?? [
      emit.constant(fromNumbers("float32", [], [rule.scale]), `${name}_scale`),
      emit.constant(fromNumbers(rule.type, [], [rule.zeroPoint]), `${name}_zero_point`),
    ];
    constants.set(rule, [scale, zeroPoint]);
    const from = codesOf.get(placement.activations.get(value));
    // The runtime pads 8-bit values only.
    const move = isWide(rule.type) ? undefined : placement.onCodes.get(value);
    const [, ...others] = target.producer?.inputs ?? [];
    const named = emit.named(`${name}_QuantizeLinear_Output`);
    const codes =
      from === undefined || move === undefined
        ? named.QuantizeLinear([target, scale, zeroPoint])
        : move(named, [from, ...others], zeroPoint);
    codesOf.set(value, codes);
    const close = emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint]);
    // A graph input stays unchanged, even if it is also an output.
    if (graph.isInput(target)) replaceReads(target, close, codes.producer);
    else replaceUses(target, close, codes.producer);
    for (const { node, input } of [...close.uses])
      if (placement.unrounded.has(node)) graph.setInput(node, input, target);
    if (target.name !== name) graph.rename(target, graph.freshName(`${name}_QuantizeLinear_Input`));
  }
}
