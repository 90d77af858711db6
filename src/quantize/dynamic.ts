/**
 * Integer arithmetic with ranges found at run time. x ≈ (q - z) · s with q, s, z of the very tensor, W ≈ Q · w; then
 *
 *     x · W ≈ s · w · Σ (q - z) · Q
 *
 *     h = Gemm(x, fc1.weight, fc1.bias)        q, s, z = DynamicQuantizeLinear(x)              # one for all layers that read x
 *                                              i = MatMulInteger(q, fc1.weight_quantized, z)   # int32
 *                                              m = Mul(Cast(i), Mul(s, fc1.weight_scale))
 *                                              h = Add(m, fc1.bias)
 *
 * the form that ONNX Runtime fuses into DynamicQuantizeMatMul. Sums of integers are exact, so their order does not matter.
 */
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { plainName } from "../analysis/masks.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { Miss } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceNode } from "../graph/replace.ts";
import type { QuantizedTensor } from "../math/index.ts";
import { keepLayerName } from "../passes/keep-layer-name.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { float32 } from "../tensor/dense.ts";
import { type Dense, typeCodes } from "../tensor/types.ts";
import { type ModelRoundings, removeRoundings, roundingsIn } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { prepare, tryOut } from "./prepare.ts";
import { type Target, targetAt } from "./target.ts";
import { forLayer, quantizeWeight, storeQuantized, type WeightSettings, weightReader, weightRule } from "./weight.ts";

/** DynamicQuantizeLinear came with opset 11. */
const opset = 11;

export async function quantizeDynamically(model: Model, options: QuantizeSettings, context: Context): Promise<Outcome> {
  const existing = await roundingsIn(model);
  const { targets: wanted, kept, misses: refused } = tryOut(model, options);
  if (wanted.length === 0) return { changes: [], misses: refused };
  raiseOpset(model, opset);
  removeRoundings(model, existing, wanted, (value) => !kept.has(value));
  const prepared = await prepare(model, wanted, context);
  const changes = [...prepared.changes];
  const misses = [...prepared.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  misses.push(...noLayers(model, inference, all));
  const before = usedTensors(model.graph);
  const inputs = new Map<Value, Integers>();
  const weights = new Map<Value, Map<string, StoredWeight>>();
  const targets = selectLayers(all, options).map((layer) => targetAt(layer, inference));
  for (const [index, target] of targets.entries()) {
    context.progress(index, targets.length);
    if (target instanceof Miss) {
      misses.push(target);
      continue;
    }
    const { layer } = target;
    const emit = emitInto(model, { before: layer.node, by: "quantize", onNode: inference.visit });
    const { own, decidedBy } = ownOptions(options, layer);
    const settings = { type: own.weights ?? target.rule.integerWeight, perChannel: own.perChannel };
    const weight = await weightFor(model, emit, target, settings, context, existing, weights);
    const bias = await biasFor(model, target, context);
    // Asked for now: the layer before may have been rewritten meanwhile.
    const data = layer.node.inputs[target.rule.weight.data] ?? target.data;
    rewrite(emit, target, integersOf(emit, data, inputs), weight, bias);
    const kind = own.perChannel ? "per-channel scales" : "one scale";
    changes.push({
      at: layer.name,
      what: `integer arithmetic, weight as ${settings.type}, ${kind}`,
      kind: "quantized",
      bits: own.bits,
      decidedBy,
    });
  }
  if (changes.length > 0) removeReplaced(model.graph, before);
  return { changes, misses };
}

/** An activation as integers. */
interface Integers {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Makes the integers of an activation once, before the first layer that reads it. */
function integersOf(emit: Emit, data: Value, made: Map<Value, Integers>): Integers {
  const known = made.get(data);
  if (known !== undefined) return known;
  const [codes, scale, zeroPoint] = emit.named(`${data.name}_quantized`).many("DynamicQuantizeLinear", [data], {}, 3);
  const integers = { codes, scale, zeroPoint };
  made.set(data, integers);
  return integers;
}

interface StoredWeight {
  readonly codes: Value;
  readonly scale: Value;
  /** Undefined where it is 0. */
  readonly zeroPoint: Value | undefined;
}

/** Layers may share a weight: it is stored once for each form that they need. */
async function weightFor(
  model: Model,
  emit: Emit,
  target: Target,
  settings: WeightSettings,
  context: Context,
  existing: ModelRoundings,
  made: Map<Value, Map<string, StoredWeight>>,
): Promise<StoredWeight> {
  const { layer, rule } = target;
  const { effective } = layer;
  const channelDims = rule.channelDims(layer.outputs);
  const key = `${settings.type} ${settings.perChannel} ${layer.role.out} ${rule.integerTransposed} ${channelDims.join()}`;
  const forms = made.get(effective) ?? new Map<string, StoredWeight>();
  made.set(effective, forms);
  const known = forms.get(key);
  if (known !== undefined) return known;

  const readWhole = await weightReader(model, layer, context.engine);
  const read = rule.integerTransposed ? async () => transposed(await readWhole()) : readWhole;
  const axis = rule.integerTransposed ? 1 - layer.role.out : layer.role.out;
  const turned = { ...layer, role: { ...layer.role, out: axis } };
  const dense = await read();
  const tensor = await quantizeWeight(
    layer,
    dense.dims,
    read,
    forLayer(layer, () => weightRule(turned, dense, settings, existing)),
  );
  // One zero point serves all channels: the ranges of channels are symmetric.
  const { codes, scale, zeroPoint } = storeQuantized(emit, plainName(layer.weight), {
    ...tensor,
    scale: float32(tensor.axis === undefined ? [] : channelDims, tensor.scale.data),
    zeroPoint: single(tensor),
  });
  const stored = { codes, scale, zeroPoint: settings.type === "int8" ? undefined : zeroPoint };
  forms.set(key, stored);
  return stored;
}

function single({ zeroPoint }: Pick<QuantizedTensor, "zeroPoint">): QuantizedTensor["zeroPoint"] {
  const [first] = zeroPoint.data;
  if (zeroPoint.data.some((other) => other !== first))
    throw new Error("The channels of a weight have several zero points.");
  return { ...zeroPoint, dims: [], data: zeroPoint.data.slice(0, 1) } as QuantizedTensor["zeroPoint"];
}

/** The bias so that it adds to the output: times its factor, with the dimensions of a channel vector where it is one. */
async function biasFor(model: Model, { layer, rule }: Target, context: Context): Promise<Dense | Value | undefined> {
  const { bias } = layer;
  if (bias === undefined) return undefined;
  const dims = rule.channelDims(layer.outputs);
  const factor = rule.biasFactor ?? 1;
  if (factor === 1 && (dims.length === 1 || bias.type?.dims?.length !== 1)) return bias;
  const dense = await readStoredValue(model, bias, context.engine);
  const scaled = factor === 1 ? toFloat32(dense) : toFloat32(dense).map((value) => value * factor);
  return float32(dense.dims.length === 1 && scaled.length === layer.outputs ? dims : dense.dims, scaled);
}

function rewrite(emit: Emit, target: Target, x: Integers, weight: StoredWeight, bias: Dense | Value | undefined): void {
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
  if (sum.producer !== undefined) sum.producer.name = node.name;
}

function transposed(dense: Dense): Dense<"float32"> {
  const [rows = 0, columns = 0] = dense.dims;
  const from = toFloat32(dense);
  const data = new Float32Array(from.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) data[column * rows + row] = from[row * columns + column] ?? 0;
  }
  return float32([columns, rows], data);
}
