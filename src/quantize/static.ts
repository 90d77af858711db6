/**
 * Integer arithmetic with ranges measured beforehand, written as QuantizeLinear and DequantizeLinear around float operators:
 *
 *     h = Conv(x, w, b)      q = QuantizeLinear(x, s, z);  x' = DequantizeLinear(q, s, z)
 *     a = Relu(h)            h = Conv(x', DequantizeLinear(w_quantized), DequantizeLinear(b_quantized))
 *                            a = DequantizeLinear(QuantizeLinear(h, …), …)          # the range of a starts at 0: Relu is saturation
 *
 * ONNX Runtime fuses each such group into one integer kernel (QLinearConv, QGemm, QLinearMatMul, QLinearAdd, …); whatever does not know
 * the pattern computes the same in float. With x ≈ s (q - z) and W_c ≈ w_c Q_c the sum over products has the scale s · w_c, and so has the
 * bias, as int32: b_c ≈ s · w_c · B_c. Integers, scales and zero points are those of ONNX Runtime's quantizer for the same ranges.
 */
import { type Inference, infer } from "../analysis/infer.ts";
import { layers, selectLayers } from "../analysis/layers.ts";
import { type Dataset, isIndexed, openDataset } from "../data/index.ts";
import { PithError } from "../errors.ts";
import { observeRanges } from "../evaluate/observe.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import { describe, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import {
  channelRanges,
  quantizationRange,
  quantizeBias,
  quantizeTensor,
  quantizeWeights,
  type ScaleAndZeroPoint,
  scaleAndZeroPoint,
  weightScaleForBias,
} from "../math/index.ts";
import { keepLayerName } from "../passes/keep-layer-name.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { fromNumbers, toFloat32 } from "../tensor/convert.ts";
import type { Dense } from "../tensor/types.ts";
import { leftInFloat } from "./left.ts";
import type { QuantizeOptions } from "./options.ts";
import { type Placement, place } from "./placement.ts";
import { nothingToDo, prepare } from "./prepare.ts";
import { readStored, removeReplaced, usedTensors } from "./stored.ts";
import type { Target } from "./target.ts";
import { dequantized, forLayer, plainWeightName } from "./weight.ts";

/** Scales per channel came with opset 13. */
const opset = 13;

export async function quantizeStatically(model: Model, options: QuantizeOptions, context: Context): Promise<Outcome> {
  const { data } = options;
  if (data === undefined) {
    throw new PithError("E_OPTION", 'quantize: "data": the static scheme measures ranges on data, and got none.', {
      hint: 'Give a data set, or choose the scheme "dynamic", which needs none.',
    });
  }
  const nothing = nothingToDo(model, options);
  if (nothing !== undefined) return { changes: [], misses: nothing };
  const dataset = typeof data === "string" ? await openDataset(data, { part: "train" }) : data;
  const prepared = await prepare(model, opset, context);
  const changes = [...prepared.changes];
  const misses = [...prepared.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  const placement = place(model, inference, selectLayers(all, options));
  misses.push(...placement.misses, ...leftInFloat(model, inference, new Set(all.map((layer) => layer.node))));
  const operators = placement.operators.map(describe);
  const scales = await measure(model, placement, dataset, options, context);
  for (const { layer } of placement.targets) keepLayerName(layer);
  await write(model, inference, placement, scales, options, context);

  const kind = options.perChannel ? "a scale per channel" : "one scale";
  for (const { layer } of placement.targets) {
    const what = `${options.activations} activations, weight as ${options.weights ?? "int8"}, ${kind}`;
    changes.push({ at: layer.name, what, decidedBy: "global" });
  }
  for (const at of operators) changes.push({ at, what: "computes on integers", decidedBy: "global" });
  return { changes, misses };
}

/** Scale and zero point of every quantized activation, from its own range or that of the value it shares with. */
async function measure(
  model: Model,
  { activations }: Placement,
  dataset: Dataset,
  options: QuantizeOptions,
  context: Context,
): Promise<ReadonlyMap<Value, ScaleAndZeroPoint>> {
  const own = [...activations].flatMap(([value, from]) => (from === undefined ? [value] : []));
  const ranges = await observeRanges(
    context.engine,
    model,
    dataset,
    own.map((value) => value.name),
    {
      samples: options.samples,
      ...(isIndexed(dataset) ? { shuffle: context.seed } : {}),
      signal: context.signal,
      progress: context.progress,
    },
  );
  const scales = new Map<Value, ScaleAndZeroPoint>();
  const scaleOf = (value: Value): ScaleAndZeroPoint => {
    const known = scales.get(value);
    if (known !== undefined) return known;
    const from = activations.get(value);
    const { min, max } = ranges.get(value.name) ?? { min: 0, max: 0 };
    const found =
      from === undefined ? scaleAndZeroPoint(min, max, { type: options.activations, symmetric: false }) : scaleOf(from);
    scales.set(value, found);
    return found;
  };
  for (const value of activations.keys()) scaleOf(value);
  return scales;
}

async function write(
  model: Model,
  inference: Inference,
  placement: Placement,
  scales: ReadonlyMap<Value, ScaleAndZeroPoint>,
  options: QuantizeOptions,
  context: Context,
): Promise<void> {
  const { graph } = model;
  const before = usedTensors(graph);
  const emit = emitInto(model, { by: "quantize", onNode: inference.visit });
  // What a layer reads is asked for before DequantizeLinear nodes come between.
  const inputScales = new Map(placement.targets.map((target) => [target, scales.get(target.data)?.scale ?? 1]));
  await writeWeights(model, emit, placement.targets, inputScales, options, context);
  await writeConstants(model, emit, placement, options, context);

  const surviving = new Map([...placement.activations.keys()].map((value) => [value, value]));
  for (const clamp of placement.clamps) {
    const [input] = clamp.inputs;
    const [output] = clamp.outputs;
    if (input === undefined || output === undefined) continue;
    const { name } = output;
    graph.replaceUses(output, input);
    graph.removeNode(clamp);
    if (input.name !== name) graph.rename(input, name);
    surviving.set(output, input);
  }
  const constants = new Map<ScaleAndZeroPoint, readonly [scale: Value, zeroPoint: Value]>();
  for (const [value, target] of surviving) {
    const rule = scales.get(value);
    if (rule === undefined) continue;
    const { name } = target;
    const [scale, zeroPoint] = constants.get(rule) ?? [
      emit.constant(fromNumbers("float32", [], [rule.scale]), `${name}_scale`),
      emit.constant(fromNumbers(options.activations, [], [rule.zeroPoint]), `${name}_zero_point`),
    ];
    constants.set(rule, [scale, zeroPoint]);
    const codes = emit.named(`${name}_QuantizeLinear_Output`).QuantizeLinear([target, scale, zeroPoint]);
    const close = emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint]);
    graph.replaceUses(target, close, codes.producer);
    if (target.name !== name) graph.rename(target, graph.freshName(`${name}_QuantizeLinear_Input`));
  }
  graph.sort();
  removeReplaced(graph, before);
}

/** Weights as codes and biases as int32; each weight is read once, with the needs of all layers that share it in view. */
async function writeWeights(
  model: Model,
  emit: Emit,
  targets: readonly Target[],
  inputScales: ReadonlyMap<Target, number>,
  options: QuantizeOptions,
  context: Context,
): Promise<void> {
  const shared = new Map<string, Target[]>();
  for (const target of targets) {
    const key = `${target.layer.effective.name}\n${options.perChannel ? target.layer.role.out : ""}`;
    shared.set(key, [...(shared.get(key) ?? []), target]);
  }
  let done = 0;
  for (const users of shared.values()) {
    context.progress(done++, shared.size);
    const [first] = users;
    if (first === undefined) continue;
    const { layer } = first;
    const biases = new Map<Target, Float32Array>();
    for (const user of users) {
      const bias = await vectorBias(model, user, context);
      if (bias !== undefined) biases.set(user, bias);
    }
    const dense = await readStored(model, layer.effective, context.engine);
    const type = options.weights ?? "int8";
    const axis = options.perChannel ? layer.role.out : undefined;
    const symmetric = options.perChannel || type === "int8";
    const scales = forLayer(layer, () => {
      const { min, max } = channelRanges(dense, axis);
      return Array.from(min, (low, channel) => scaleAndZeroPoint(low, max[channel] ?? 0, { type, symmetric }));
    });
    // A scale so small that a bias would not fit int32 grows, where that leaves the zero point alone.
    const guarded = scales.map(({ scale }, channel) => {
      if (type !== "int8") return scale;
      let grown = scale;
      for (const [user, bias] of biases) {
        const largest = scales.length === 1 ? largestOf(bias) : Math.abs(bias[channel] ?? 0);
        grown = Math.fround(weightScaleForBias(inputScales.get(user) ?? 1, grown, largest));
      }
      return grown;
    });
    const tensor = forLayer(layer, () =>
      quantizeTensor(dense, {
        type,
        axis,
        scale: guarded,
        zeroPoint: scales.map(({ zeroPoint }) => zeroPoint),
        range: quantizationRange({ type, symmetric }),
      }),
    );
    const weight = dequantized(emit, plainWeightName(layer), tensor);
    for (const user of users) {
      const { node, role } = user.layer;
      model.graph.setInput(node, role.input, weight);
      const bias = biases.get(user);
      if (bias !== undefined) writeBias(model, emit, user, bias, inputScales.get(user) ?? 1, guarded);
    }
  }
}

function writeBias(
  model: Model,
  emit: Emit,
  target: Target,
  bias: Float32Array,
  inputScale: number,
  weightScales: readonly number[],
): void {
  const { layer } = target;
  const { bias: value, role } = layer;
  if (value === undefined || role.bias === undefined) return;
  const { codes, scale } = forLayer(layer, () => quantizeBias(bias, inputScale, weightScales));
  const dims = scale.length === 1 ? [] : [scale.length];
  const axis = scale.length === 1 ? {} : { axis: 0 };
  const close = emit
    .named(`${value.name}_DequantizeLinear_Output`)
    .DequantizeLinear(
      [
        emit.constant({ type: "int32", dims: [codes.length], data: codes }, `${value.name}_quantized`),
        emit.constant({ type: "float32", dims, data: scale }, `${value.name}_quantized_scale`),
        emit.constant(
          { type: "int32", dims, data: new Int32Array(scale.length) },
          `${value.name}_quantized_zero_point`,
        ),
      ],
      axis,
    );
  model.graph.setInput(layer.node, role.bias, close);
}

/** The bias as a vector over output channels; undefined if there is none, or none that integers can hold. */
async function vectorBias(model: Model, { layer, rule }: Target, context: Context): Promise<Float32Array | undefined> {
  const { bias } = layer;
  if (bias === undefined || rule.biasFactor !== 1) return undefined;
  const dense = await readStored(model, bias, context.engine);
  const values = toFloat32(dense);
  if (values.length === 1) return new Float32Array(layer.outputs).fill(values[0] ?? 0);
  return values.length === layer.outputs && dense.dims.at(-1) === layer.outputs ? values : undefined;
}

/** Stored operands of operators on activations: codes of the activations' type, over their own range. */
async function writeConstants(
  model: Model,
  emit: Emit,
  { constants, operators }: Placement,
  options: QuantizeOptions,
  context: Context,
): Promise<void> {
  for (const value of constants) {
    const dense: Dense = await readStored(model, value, context.engine);
    const tensor = quantizeWeights({ dense, type: options.activations, symmetric: false });
    const close = dequantized(emit, value.name, tensor);
    for (const node of operators) {
      node.inputs.forEach((input, index) => {
        if (input === value) model.graph.setInput(node, index, close);
      });
    }
  }
}

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}
