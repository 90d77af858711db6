/**
 * Writes layers with integer operators and activation ranges from run time. ONNX Runtime fuses them into DynamicQuantizeMatMul:
 *
 *     q, s, z = DynamicQuantizeLinear(x)              # one for all layers that read x
 *     i = MatMulInteger(q, fc1.weight_quantized, z)   # int32
 *     h = Add(Mul(Cast(i), Mul(s, fc1.weight_scale)), fc1.bias)
 */
import { type Inference, type Layer, nameBeforeMasking } from "#analysis";
import { type Emit, float32, fromNumbers, Miss, type Node, toNumbers, typeCodes, type Value } from "#ir";
import { findTarget, type Target, type WeightedRule } from "../quantizable.ts";
import type { DynamicSettings } from "../settings.ts";
import { codesText, roundWeight } from "../weights/round-weight.ts";
import { productBits, type WeightSettings } from "../weights/weight-settings.ts";
import { type CodeValues, codesOf, type StoredCodes, storeQuantized, transposedCodes } from "./dequantize-linear.ts";
import { emitAround, emitBeside, type Format, oncePerRun, type WriteRun } from "./format.ts";
import { writeProduct } from "./matrix-product.ts";

export function chooseIntegerFormat(layer: Layer, options: DynamicSettings, inference: Inference): Format | Miss {
  const target = findTarget(layer, inference);
  if (target instanceof Miss) return target;
  const { perChannel, weights: type = fastWeight(target.rule) } = options;
  return integerFormat({ type, perChannel, bits: productBits({ ...options, weights: type }) }, target);
}

/** Returns the weight type that ONNX Runtime 1.30 runs faster (x64 with VNNI): with spatial dimensions, int8 is slower. */
export const fastWeight = ({ channelDims }: WeightedRule): "int8" | "uint8" =>
  channelDims(1).length > 1 ? "uint8" : "int8";

const integerFormat = (settings: WeightSettings, target: Target): Format => ({
  bits: 8,
  text: (layer, { rounding }) => `integer arithmetic, ${codesText(layer, settings, rounding)}`,
  async write(emit, { layer, table }, run) {
    const weight =
      table === undefined
        ? await storeIntegers(target, settings, run)
        : {
            ...transposedCodes(emitAround(emit, layer, run), await codesOf(table, settings, run)),
            zeroPoint: undefined,
          };
    await writeProduct(emit, target, run, async (_, data) => {
      const x = await integersOf(emit, data, layer.node, run);
      const [name = ""] = layer.node.outputs.map((output) => output?.name);
      const sum = target.rule.integer(emit.named(`${name}_integer`), {
        x: x.codes,
        weight: weight.codes,
        xZeroPoint: x.zeroPoint,
        ...(weight.zeroPoint === undefined ? {} : { weightZeroPoint: weight.zeroPoint }),
      });
      const factor = emit.named(`${name}_scale`).Mul([x.scale, weight.scale]);
      const product = emit.named(`${name}_product`).Mul([emit.Cast([sum], { to: typeCodes.float32 }), factor]);
      return { product, named: sum };
    });
  },
  onCodes: (codes) => (codes.type === "int8" ? integerFormat(codes, target) : undefined),
});

const activations = oncePerRun<CodeValues>();

/** Quantizes an activation once per graph, before the first layer that reads it. */
const integersOf = (emit: Emit, data: Value, { graph }: Node, run: WriteRun): Promise<CodeValues> =>
  activations(run, data, graph, async () => {
    const [codes, scale, zeroPoint] = emit.named(`${data.name}_quantized`).many("DynamicQuantizeLinear", [data], {}, 3);
    return { codes, scale, zeroPoint };
  });

const storedWeights = oncePerRun<StoredCodes>();

const storeIntegers = (target: Target, settings: WeightSettings, run: WriteRun): Promise<StoredCodes> =>
  storedWeights(run, target.layer.effective, sharedKeyOf(target, settings), async () => {
    const { layer, rule } = target;
    const form = { transposed: rule.integerTransposed };
    const tensor = await roundWeight(layer, settings, run.rounding, form);
    const { type } = tensor.zeroPoint;
    // Per-channel ranges are symmetric, so all channels have the same zero point.
    const zero = toNumbers(tensor.zeroPoint)[0] ?? 0;
    const { codes, scale, zeroPoint } = storeQuantized(emitBeside(layer, run), nameBeforeMasking(layer.weight), {
      ...tensor,
      scale: float32(tensor.axis === undefined ? [] : rule.channelDims(layer.outputs), tensor.scale.data),
      zeroPoint: fromNumbers(type, [], [zero]),
    });
    return { codes, scale, zeroPoint: type === "int8" ? undefined : zeroPoint };
  });

function sharedKeyOf({ layer, rule }: Target, { type, perChannel, bits }: WeightSettings): string {
  return `${type} ${bits} ${perChannel} ${layer.role.out} ${rule.integerTransposed} ${rule.channelDims(layer.outputs).join()}`;
}
