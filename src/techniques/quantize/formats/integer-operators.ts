/**
 * Integer operators with ranges found at run time, as ONNX Runtime fuses them into DynamicQuantizeMatMul:
 *
 *     q, s, z = DynamicQuantizeLinear(x)              # one for all layers that read x
 *     i = MatMulInteger(q, fc1.weight_quantized, z)   # int32
 *     h = Add(Mul(Cast(i), Mul(s, fc1.weight_scale)), fc1.bias)
 *
 * The weight has one zero point for all channels.
 */
import { plainName } from "../../../core/analysis/masks.ts";
import { Miss } from "../../../core/errors.ts";
import type { Emit } from "../../../core/graph/emit.ts";
import type { Node, Value } from "../../../core/graph/graph.ts";
import { replaceNode } from "../../../core/graph/replace.ts";
import { fromNumbers, toNumbers } from "../../../core/tensor/convert.ts";
import { float32 } from "../../../core/tensor/dense.ts";
import { type Dense, typeCodes } from "../../../core/tensor/types.ts";
import { handOnLayerName, keepLayerName } from "../../../rewrite/edit/keep-layer-name.ts";
import { fastWeight } from "../runtimes.ts";
import { type Target, targetAt } from "../target.ts";
import { codesText, integersIn, multipliedBits, roundedWeight, type WeightSettings } from "../weight.ts";
import { type Coded, codesOf, type StoredCodes, storeQuantized, turned } from "./dequantize-linear.ts";
import { around, beside, type Form, type Format, oncePerRun, type Writing } from "./format.ts";
import { biasFor } from "./product.ts";

export const inIntegers: Format = {
  what: "integer arithmetic",
  formOf(layer, own, inference) {
    const target = targetAt(layer, inference);
    if (target instanceof Miss) return target;
    const settings = { type: integersIn(own) ?? fastWeight(target.rule), perChannel: own.perChannel };
    return integerForm({ ...settings, bits: multipliedBits(settings, own) }, target);
  },
};

const integerForm = (settings: WeightSettings, target: Target): Form => ({
  bits: 8,
  text: (layer, { plain }) => `integer arithmetic, ${codesText(layer, settings, plain)}`,
  async write(emit, { layer, table }, run) {
    const { node, role } = layer;
    const weight =
      table === undefined
        ? await integerWeight(target, settings, run)
        : { ...turned(around(emit, layer, run), await codesOf(table, settings, run)), zeroPoint: undefined };
    // Read here because the previous layer may have been rewritten.
    const data = node.inputs[role.data] ?? target.data;
    writeInteger(
      emit,
      target,
      await integersOf(emit, data, node, run),
      weight,
      await biasFor(run.model, target, run.context),
    );
  },
  onCodes: (codes) => (codes.type === "int8" ? integerForm(codes, target) : undefined),
});

const activations = oncePerRun<Coded>();

/** Quantizes an activation once per graph, before the first layer that reads it. */
const integersOf = (emit: Emit, data: Value, { graph }: Node, run: Writing): Promise<Coded> =>
  activations(run, data, graph, async () => {
    const [codes, scale, zeroPoint] = emit.named(`${data.name}_quantized`).many("DynamicQuantizeLinear", [data], {}, 3);
    return { codes, scale, zeroPoint };
  });

const weights = oncePerRun<StoredCodes>();

const integerWeight = (target: Target, settings: WeightSettings, run: Writing): Promise<StoredCodes> =>
  weights(run, target.layer.effective, sharedForm(target, settings), async () => {
    const { layer, rule } = target;
    const form = { transposed: rule.integerTransposed };
    const tensor = await roundedWeight(run.model, layer, settings, run.plain, run.context.engine, form);
    const { type } = tensor.zeroPoint;
    // Per-channel ranges are symmetric, so the first zero point holds for all.
    const zero = toNumbers(tensor.zeroPoint)[0] ?? 0;
    const { codes, scale, zeroPoint } = storeQuantized(beside(layer, run), plainName(layer.weight), {
      ...tensor,
      scale: float32(tensor.axis === undefined ? [] : rule.channelDims(layer.outputs), tensor.scale.data),
      zeroPoint: fromNumbers(type, [], [zero]),
    });
    return { codes, scale, zeroPoint: type === "int8" ? undefined : zeroPoint };
  });

function sharedForm({ layer, rule }: Target, { type, perChannel, bits }: WeightSettings): string {
  return `${type} ${bits} ${perChannel} ${layer.role.out} ${rule.integerTransposed} ${rule.channelDims(layer.outputs).join()}`;
}

function writeInteger(
  emit: Emit,
  target: Target,
  x: Coded,
  weight: StoredCodes,
  bias: Dense | Value | undefined,
): void {
  const { layer, rule } = target;
  const { node } = layer;
  const [output] = node.outputs;
  if (output === undefined) return;
  const name = output.name;
  keepLayerName(layer);
  const sum = rule.integer(emit.named(`${name}_integer`), {
    x: x.codes,
    weight: weight.codes,
    xZeroPoint: x.zeroPoint,
    ...(weight.zeroPoint === undefined ? {} : { weightZeroPoint: weight.zeroPoint }),
  });
  const factor = emit.named(`${name}_scale`).Mul([x.scale, weight.scale]);
  const product = emit.named(`${name}_product`).Mul([emit.Cast([sum], { to: typeCodes.float32 }), factor]);
  const addend = bias === undefined || "graph" in bias ? bias : emit.constant(bias, layer.bias?.name ?? "bias");
  const result = addend === undefined ? product : emit.named(`${name}_sum`).Add([product, addend]);
  replaceNode(node, [result]);
  handOnLayerName(layer, sum);
}
