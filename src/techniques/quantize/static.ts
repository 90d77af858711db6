/** Integer arithmetic with measured ranges: ONNX Runtime fuses (De)QuantizeLinear around float operators. */
import { infer, type Layer, layers, optionsOfLayer, selectLayers, unsupportedWeights } from "#analysis";
import type { Emit, Model, Value } from "#ir";
import {
  emitInto,
  fromNumbers,
  nodeText,
  removeReplaced,
  replaceReads,
  replaceUses,
  substitute,
  usedTensors,
} from "#ir";
import type { Context, Outcome } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { keepLayerName } from "../../rewrite/edit/keep-layer-name.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { type MeasuredPlacement, placeWithScales, type ScaledType } from "./activation-scales.ts";
import { findQuantizationTargets, quantizedInside } from "./coverage.ts";
import { removeRoundings } from "./fake-rounding.ts";
import { dequantizedConstant, floatCodes, measuredCodes } from "./formats/dequantize-linear.ts";
import type { Placement } from "./placement.ts";
import { keepsFloatArithmetic, planLayers, writePlan } from "./plan.ts";
import { prepareModel } from "./prepare.ts";
import { quantizeWeights } from "./quantize-tensor.ts";
import { missingData } from "./ranges.ts";
import { type ActivationType, isWide, type StaticSettings } from "./settings.ts";
import type { Rounding } from "./weights/rounding-source.ts";

/** Opset 13 has per-channel scales. ONNX Runtime has 16- and 4-bit types for older opsets, too, but other runtimes require 21. */
const opset = 13;
const opsetOfOtherWidths = 21;

export async function quantizeStatically(options: StaticSettings, rounding: Rounding): Promise<Outcome> {
  const { model, context, existing } = rounding;
  if (options.data === undefined && existing.activations.size === 0) throw missingData("quantize");
  const staticOptions = { ...options, data: await trainPart(options.data) };
  const { targets, targetActivations, misses: rejections } = findQuantizationTargets(model, options);
  if (targets.length === 0 && !selectLayers(layers(model, infer(model)), options).some(keepsFloatArithmetic))
    return { changes: [], misses: rejections };
  const needsOtherWidths = targets.some((layer) => {
    const { activations, bits } = optionsOfLayer(options, layer).options;
    return isWide(activations) || bits === 4;
  });
  raiseOpset(model, needsOtherWidths ? opsetOfOtherWidths : opset);
  removeRoundings(model, existing, targets, (value) => targetActivations.has(value));
  // Normalization is also folded into selected layers that stay in float, so that activations do not depend on which layers these are.
  const selectedNodes = new Set(
    selectLayers(layers(model, infer(model)), { ...options, unfit: new Set<string>() }).map(({ node }) => node),
  );
  const folds = ({ node, weight }: Layer): boolean => selectedNodes.has(node) && weight.role === undefined;
  const preparation = await prepareModel(model, targets, context, folds);
  const changes = [...preparation.changes];
  const misses = [...preparation.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  const selectedLayers = selectLayers(all, options);
  const measuredPlacement = await placeWithScales(inference, selectedLayers, staticOptions, rounding);
  const { placement, scales } = measuredPlacement;
  // The list can already contain a normalization that was not folded, with its reason.
  for (const moreMisses of [placement.misses, unsupportedWeights(model, inference, all, false, quantizedInside)]) {
    const explainedNames = new Set(misses.map(({ at }) => at));
    misses.push(...moreMisses.filter(({ at }) => !explainedNames.has(at)));
  }
  for (const { layer } of placement.targets) keepLayerName(layer);
  const targetOf = new Map(placement.targets.map((target) => [target.layer.node, target]));
  const storedLayers = selectedLayers.filter((layer) => targetOf.has(layer.node) || keepsFloatArithmetic(layer));
  const plan = planLayers(storedLayers, options, inference, (layer, layerOptions) => {
    const target = targetOf.get(layer.node);
    const grid = target === undefined ? undefined : scales.get(target.data);
    const isMeasured = target !== undefined && grid !== undefined;
    return { format: isMeasured ? measuredCodes(layerOptions, { target, ...grid }) : floatCodes(layer, layerOptions) };
  });
  context.phase?.("round layers");
  const planChanges = await writePlan(plan, inference, rounding);
  changes.push(...planChanges.changes);
  for (const node of placement.operators)
    changes.push({ at: nodeText(node), what: "computes on integers", decidedBy: "global" });
  if (placement.activations.size === 0) return { changes, misses };
  const oldTensors = usedTensors(model);
  const emit = emitInto(model, { by: "quantize", onNode: inference.visit });
  await writeConstants(model, emit, placement, scales, context);
  writeActivations(model, emit, measuredPlacement);
  model.graph.sort();
  removeReplaced(model, oldTensors);
  return { changes, misses };
}

/** Writes stored operands of operators on activations, with their own range and the type of the other operand. */
async function writeConstants(
  model: Model,
  emit: Emit,
  { constants, operators }: Placement,
  scales: ReadonlyMap<Value, ScaledType>,
  context: Context,
): Promise<void> {
  for (const value of constants) {
    const dense = await readStoredValue(model, value, context.engine);
    const floatValues = new Map<ActivationType, Value>();
    for (const node of operators) {
      const [type] = node.inputs.flatMap((input) => (input === undefined ? [] : (scales.get(input)?.type ?? [])));
      if (type === undefined || !node.inputs.includes(value)) continue;
      const floatValue =
        floatValues.get(type) ??
        dequantizedConstant(emit, value.name, quantizeWeights({ dense, type, symmetric: false }));
      floatValues.set(type, floatValue);
      node.inputs.forEach((input, index) => {
        if (input === value) model.graph.setInput(node, index, floatValue);
      });
    }
  }
}

/**
 * Writes QuantizeLinear and DequantizeLinear around float operators:
 *
 *     h = Conv(x, w, b)      q = QuantizeLinear(x, s, z);  x' = DequantizeLinear(q, s, z)
 *     a = Relu(h)            h = Conv(x', DequantizeLinear(w_quantized), DequantizeLinear(b_quantized))
 *                            a = DequantizeLinear(QuantizeLinear(h, …), …)          # quantized a starts at 0: Relu is saturation
 */
function writeActivations({ graph }: Model, emit: Emit, { placement, scales, clamps }: MeasuredPlacement): void {
  // Writing a quantized lookup has replaced its output by a value with the same name.
  const currentValues = new Map(
    [...placement.activations.keys()].map((value) => [value, graph.value(value.name) ?? value]),
  );
  for (const { inputs, outputs } of clamps) {
    const [input] = inputs;
    const [output] = outputs;
    if (input === undefined || output === undefined) continue;
    substitute(output, input);
    currentValues.set(output, input);
  }
  const codesOf = new Map<Value | undefined, Value>();
  const constants = new Map<ScaledType, readonly [scale: Value, zeroPoint: Value]>();
  for (const value of placement.activations.keys()) {
    const target = currentValues.get(value) ?? value;
    const activationGrid = scales.get(value);
    if (activationGrid === undefined) continue;
    const { name } = target;
    const [scale, zeroPoint] = constants.get(activationGrid) ?? [
      emit.constant(fromNumbers("float32", [], [activationGrid.scale]), `${name}_scale`),
      emit.constant(fromNumbers(activationGrid.type, [], [activationGrid.zeroPoint]), `${name}_zero_point`),
    ];
    constants.set(activationGrid, [scale, zeroPoint]);
    const sourceCodes = codesOf.get(placement.activations.get(value));
    // The runtime does not pad 16-bit values.
    const moveCodes = isWide(activationGrid.type) ? undefined : placement.codeMoves.get(value);
    const [, ...settings] = target.producer?.inputs ?? [];
    const namedEmit = emit.named(`${name}_QuantizeLinear_Output`);
    const codes =
      sourceCodes === undefined || moveCodes === undefined
        ? namedEmit.QuantizeLinear([target, scale, zeroPoint])
        : moveCodes(namedEmit, [sourceCodes, ...settings], zeroPoint);
    codesOf.set(value, codes);
    const numbers = emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint]);
    // A graph input stays unchanged, even if it is also an output.
    if (graph.isInput(target)) replaceReads(target, numbers, codes.producer);
    else replaceUses(target, numbers, codes.producer);
    for (const { node, input } of [...numbers.uses])
      if (placement.unrounded.has(node)) graph.setInput(node, input, target);
    if (target.name !== name) graph.rename(target, graph.freshName(`${name}_QuantizeLinear_Input`));
  }
}
