/**
 * Integer arithmetic with measured ranges: QuantizeLinear and DequantizeLinear around float operators (`formats/qdq.ts`), which
 * ONNX Runtime fuses into integer kernels. The values equal those of ONNX Runtime's quantizer for the same ranges.
 */
import { infer } from "../../core/analysis/infer.ts";
import { type Layer, layers } from "../../core/analysis/layers.ts";
import { noLayers } from "../../core/analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../../core/analysis/selection.ts";
import { type Emit, emitInto } from "../../core/graph/emit.ts";
import { describe, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { removeReplaced, usedTensors } from "../../core/graph/remove-unused.ts";
import { quantizeWeights } from "../../core/math/index.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { trainPart } from "../../data/sources/open.ts";
import { keepLayerName } from "../../rewrite/edit/keep-layer-name.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { readStoredValue } from "../../rewrite/edit/stored.ts";
import { dequantizedConstant, inCodes, inMeasuredCodes } from "./formats/dequantize-linear.ts";
import { writeActivations } from "./formats/qdq.ts";
import { missingData, placeMeasured, type ScaledType } from "./measure.ts";
import { removeRoundings } from "./model-roundings.ts";
import { type ActivationType, isWide, type QuantizeSettings } from "./options.ts";
import type { Placement } from "./placement.ts";
import { keepsFloatArithmetic, planOf } from "./plan.ts";
import { prepare, quantizedInside, tryOut } from "./prepare.ts";
import type { Rounding } from "./weight.ts";
import { writePlan } from "./write-plan.ts";

/**
 * Opset 13 has per-channel scales and all operators that the runtime derives. ONNX Runtime has 16- and 4-bit types for older
 * opsets, too, but other runtimes require 21.
 */
const opset = 13;
const opsetOfOtherWidths = 21;

export async function quantizeStatically(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  rounding: Rounding,
): Promise<Outcome> {
  const { existing } = rounding;
  if (options.data === undefined && existing.activations.size === 0) throw missingData("quantize");
  const measuring = { ...options, data: await trainPart(options.data) };
  const { targets: wanted, taken, misses: refused } = tryOut(model, options);
  if (wanted.length === 0) return { changes: [], misses: refused };
  const isOther = wanted.some((layer) => {
    const { activations, bits } = ownOptions(options, layer).own;
    return isWide(activations) || bits === 4;
  });
  raiseOpset(model, isOther ? opsetOfOtherWidths : opset);
  removeRoundings(model, existing, wanted, (value) => taken.has(value));
  // Selected layers that stay in float are folded, too. All choices of such layers then have the same activations, measured once.
  const selected = new Set(
    selectLayers(layers(model, infer(model)), { ...options, unfit: new Set<string>() }).map(({ node }) => node),
  );
  const folds = ({ node, weight }: Layer): boolean => selected.has(node) && weight.role === undefined;
  const prepared = await prepare(model, wanted, context, folds);
  const changes = [...prepared.changes];
  const misses = [...prepared.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  const chosen = selectLayers(all, options);
  const measured = await placeMeasured(model, inference, chosen, measuring, context, existing);
  const { placement, scales } = measured;
  // A normalization that was not folded already has its reason in the list.
  for (const others of [placement.misses, noLayers(model, inference, all, false, quantizedInside)]) {
    const explained = new Set(misses.map(({ at }) => at));
    misses.push(...others.filter(({ at }) => !explained.has(at)));
  }
  for (const { layer } of placement.targets) keepLayerName(layer);
  const formats = new Map(
    placement.targets.map((target) => {
      const data = scales.get(target.data);
      return [target.layer.node, data === undefined ? inCodes : inMeasuredCodes({ target, ...data })];
    }),
  );
  const stored = chosen.filter((layer) => formats.has(layer.node) || keepsFloatArithmetic(layer));
  const plan = planOf(stored, options, inference, existing, ({ node }) => [formats.get(node) ?? inCodes]);
  const written = await writePlan(model, plan, inference, rounding, context);
  changes.push(...written.changes);
  for (const node of placement.operators)
    changes.push({ at: describe(node), what: "computes on integers", decidedBy: "global" });
  // If 8 bits resolve no value, there can be nothing to quantize.
  if (placement.activations.size === 0) return { changes, misses };
  const before = usedTensors(model);
  const emit = emitInto(model, { by: "quantize", onNode: inference.visit });
  await writeConstants(model, emit, placement, scales, context);
  writeActivations(model, emit, measured);
  model.graph.sort();
  removeReplaced(model, before);
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
    const made = new Map<ActivationType, Value>();
    for (const node of operators) {
      const [type] = node.inputs.flatMap((input) => (input === undefined ? [] : (scales.get(input)?.type ?? [])));
      if (type === undefined || !node.inputs.includes(value)) continue;
      const close =
        made.get(type) ?? dequantizedConstant(emit, value.name, quantizeWeights({ dense, type, symmetric: false }));
      made.set(type, close);
      node.inputs.forEach((input, index) => {
        if (input === value) model.graph.setInput(node, index, close);
      });
    }
  }
}
