/**
 * Weight-only quantization. W ≈ (Q - zero point) · scale, with one scale per output channel or one per weight:
 *
 *     fc1.weight: float32[128, 784]                       fc1.weight_quantized: int8[128, 784], _scale: float32[128], _zero_point
 *     h = Gemm(x, fc1.weight, fc1.bias)                   w = DequantizeLinear(fc1.weight_quantized, …) {axis=0}
 *                                                         h = Gemm(x, w, fc1.bias)
 *
 * ONNX Runtime converts a MatMul with such a weight into MatMulNBits, which by default also rounds activations to 8 bits (session
 * option `session.qdq_matmulnbits_accuracy_level`). For other operators, it computes the float weight in every run.
 */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { unsupportedWeights } from "../../core/analysis/no-layers.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { planLayers, requiredOpset, weightFormChoice, writePlan } from "./plan.ts";
import { findCoverage } from "./prepare.ts";
import { removeRoundings } from "./rounding.ts";
import type { WeightsSettings } from "./settings.ts";
import { type Rounding, weightMiss } from "./weight.ts";

export async function quantizeToWeights(
  model: Model,
  options: WeightsSettings,
  context: Context,
  rounding: Rounding,
): Promise<Outcome> {
  const { existing } = rounding;
  const supportedLayers = selectLayers(allLayers(model, infer(model)), options).filter(
    (layer) => weightMiss(layer) === undefined,
  );
  // A model without any supported layer stays unchanged.
  if (supportedLayers.length > 0) {
    const keptActivations = existing.activations.size === 0 ? undefined : findCoverage(model, options, true).kept;
    removeRoundings(model, existing, supportedLayers, (value) => keptActivations?.has(value) !== true);
  }
  const planWeights = () => {
    const inference = infer(model);
    const all = allLayers(model, inference);
    const choose = weightFormChoice(inference, existing);
    return { inference, all, plan: planLayers(selectLayers(all, options), options, inference, choose) };
  };
  let planned = planWeights();
  // Raising the opset can replace nodes, to which a plan refers.
  if (raiseFor(model, requiredOpset(planned.plan))) planned = planWeights();
  const { inference, all, plan } = planned;
  const excluded = unsupportedWeights(model, inference, all, true);
  const { changes, misses } = await writePlan(model, plan, inference, rounding, context);
  const widerCount = changes.filter(({ bits = 0 }) => bits > options.bits).length;
  // The name of the file contains the requested bits, so a warning is needed if most layers have more.
  if (2 * widerCount > changes.length && options.overrides === undefined) {
    const text = `${widerCount} of ${changes.length} layers are kept at more than ${options.bits} bits, and the list says why`;
    context.log({ id: "wider", text, level: "warning" });
  }
  return { changes, misses: [...excluded, ...misses] };
}

/** @returns whether the opset was raised. @throws PithError E_UNSUPPORTED if it cannot be raised. */
function raiseFor(model: Model, opset: number): boolean {
  const oldOpset = model.opsets.get("");
  try {
    raiseOpset(model, opset);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    // Operators that cannot be converted to this opset can have a form in a later one.
    if (opset < 13) raiseOpset(model, 13);
    else if (opset > 13 || (model.opsets.get("") ?? 0) < 10) throw error;
    else {
      const hint = "Per-channel scales need opset 13; one scale per weight (`perChannel: false`) needs opset 10 only.";
      throw error.reworded({ hint: [hint, ...error.advice] });
    }
  }
  return model.opsets.get("") !== oldOpset;
}
