/**
 * Weight-only quantization. W ≈ (Q - zero point) · scale, with one scale per output channel or one per weight:
 *
 *     fc1.weight: float32[128, 784]                       fc1.weight_quantized: int8[128, 784], _scale: float32[128], _zero_point
 *     h = Gemm(x, fc1.weight, fc1.bias)                   w = DequantizeLinear(fc1.weight_quantized, …) {axis=0}
 *                                                         h = Gemm(x, w, fc1.bias)
 *
 * ONNX Runtime converts a MatMul with such a weight into MatMulNBits, which by default also rounds activations to 8 bits (session
 * option `session.qdq_matmulnbits_accuracy_level`). Elsewhere it computes the float weight in every run.
 */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { noLayers } from "../../core/analysis/no-layers.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { removeRoundings } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { opsetOf, planOf } from "./plan.ts";
import { tryOut } from "./prepare.ts";
import { type Rounding, weightMiss } from "./weight.ts";
import { writePlan } from "./write-plan.ts";

export async function quantizeToWeights(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  rounding: Rounding,
): Promise<Outcome> {
  const { existing } = rounding;
  const chosen = selectLayers(allLayers(model, infer(model)), options);
  const able = chosen.filter((layer) => weightMiss(layer) === undefined);
  // A model without any supported layer stays unchanged, including its opset.
  if (able.length > 0) {
    const kept = existing.activations.size === 0 ? undefined : tryOut(model, options, true).kept;
    removeRoundings(model, existing, able, (value) => kept?.has(value) !== true);
    const inference = infer(model);
    const chosen = selectLayers(allLayers(model, inference), options);
    raiseFor(model, opsetOf(planOf(chosen, options, inference, existing)));
  }
  const inference = infer(model);
  const all = allLayers(model, inference);
  const plan = planOf(selectLayers(all, options), options, inference, existing);
  const others = noLayers(model, inference, all, true);
  const { changes, misses } = await writePlan(model, plan, inference, rounding, context);
  const [kept, asked] = [changes.filter(({ bits = 0 }) => bits > options.bits).length, options.bits];
  // The file name contains the requested bits.
  if (2 * kept > changes.length && options.overrides === undefined) {
    const text = `${kept} of ${changes.length} layers are kept at more than ${asked} bits, and the list says why`;
    context.log({ id: "wider", text, level: "warning" });
  }
  return { changes, misses: [...others, ...misses] };
}

/** @throws PithError E_UNSUPPORTED if the opset cannot be raised. */
function raiseFor(model: Model, opset: number): void {
  try {
    raiseOpset(model, opset);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    // A later opset can support what the next one does not.
    if (opset < 13) raiseOpset(model, 13);
    else if (opset > 13 || (model.opsets.get("") ?? 0) < 10) throw error;
    else {
      const hint = "Per-channel scales need opset 13; one scale per weight (`perChannel: false`) needs opset 10 only.";
      throw error.reworded({ hint: [hint, ...error.advice] });
    }
  }
}
