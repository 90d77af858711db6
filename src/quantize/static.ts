/**
 * Integer arithmetic with ranges measured beforehand, written as QuantizeLinear and DequantizeLinear around float operators (`formats/qdq.ts`).
 * ONNX Runtime fuses each such group into one integer kernel (QLinearConv, QGemm, QLinearMatMul, QLinearAdd, …); whatever does not know
 * the pattern computes the same in float. With x ≈ s (q - z) and W_c ≈ w_c Q_c the sum over products has the scale s · w_c, and so has the
 * bias, as int32: b_c ≈ s · w_c · B_c. Integers, scales and zero points are those of ONNX Runtime's quantizer for the same ranges.
 */
import { type Inference, infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { trainPart } from "../data/open.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { ScaleAndZeroPoint } from "../math/index.ts";
import { keepLayerName } from "../passes/keep-layer-name.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { writeActivations } from "./formats/qdq.ts";
import { missingData, placeMeasured } from "./measure.ts";
import { removeRoundings, roundingsIn } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import type { Placement } from "./placement.ts";
import { prepare, tryOut } from "./prepare.ts";
import { writeConstants, writeWeights } from "./static-weights.ts";
import { codesText, type Evidence, type Rounding, settingsOf } from "./weight.ts";

/** The first one with per-channel scales, and in which all that the runtime makes of rounded activations has kernels. */
const opset = 13;

export async function quantizeStatically(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  evidence: Evidence,
): Promise<Outcome> {
  const existing = await roundingsIn(model);
  const rounding = { ...evidence, existing };
  if (options.data === undefined && existing.activations.size === 0) throw missingData("quantize");
  const measuring = { ...options, data: await trainPart(options.data) };
  const { targets, taken, misses: refused } = tryOut(model, options);
  if (targets.length === 0) return { changes: [], misses: refused };
  raiseOpset(model, opset);
  removeRoundings(model, existing, targets, (value) => taken.has(value));
  const prepared = await prepare(model, targets, context);
  const changes = [...prepared.changes];
  const misses = [...prepared.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  const chosen = selectLayers(all, options);
  const { placement, scales } = await placeMeasured(model, inference, chosen, measuring, context, existing);
  // Of a normalization that was not folded it has been said why: that is why it is still there to run in float.
  for (const others of [placement.misses, noLayers(model, inference, all)]) {
    const explained = new Set(misses.map(({ at }) => at));
    misses.push(...others.filter(({ at }) => !explained.has(at)));
  }
  const operators = placement.operators.map(describe);
  for (const { layer } of placement.targets) keepLayerName(layer);
  // Values that 8 bits do not resolve may leave nothing to be rounded.
  if (placement.targets.length > 0 || placement.activations.size > 0)
    await write(model, inference, placement, scales, options, context, rounding);

  for (const { layer } of placement.targets) {
    const { own, decidedBy } = ownOptions(options, layer);
    const what = `${own.activations} activations, ${codesText(layer, settingsOf(own), rounding)}`;
    changes.push({ at: layer.name, what, kind: "quantized", bits: own.bits, decidedBy });
  }
  for (const at of operators) changes.push({ at, what: "computes on integers", decidedBy: "global" });
  return { changes, misses };
}

async function write(
  model: Model,
  inference: Inference,
  placement: Placement,
  scales: ReadonlyMap<Value, ScaleAndZeroPoint>,
  options: QuantizeSettings,
  context: Context,
  rounding: Rounding,
): Promise<void> {
  const { graph } = model;
  const before = usedTensors(graph);
  const emit = emitInto(model, { by: "quantize", onNode: inference.visit });
  // What a layer reads is asked for before DequantizeLinear nodes come between.
  const inputScales = new Map(placement.targets.map((target) => [target, scales.get(target.data)?.scale ?? 1]));
  await writeWeights(model, emit, placement.targets, inputScales, options, context, rounding);
  await writeConstants(model, emit, placement, options, context);

  writeActivations(model, emit, placement, scales, options.activations);
  graph.sort();
  removeReplaced(graph, before);
}
