/** Writes weights as planned, once for all layers that read a weight in the same format. */
import type { Inference } from "../../core/analysis/infer.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Model } from "../../core/graph/model.ts";
import { removeReplaced, usedTensors } from "../../core/graph/remove-unused.ts";
import type { Change, Context, Outcome } from "../../core/pass/pass.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { LayerPlan } from "./formats/format.ts";
import type { Plan } from "./plan.ts";
import { nearest } from "./rounders/nearest.ts";
import type { Rounding } from "./weight.ts";

function storedLike({ layer: { weight }, form }: LayerPlan): number {
  const least = (elementCount(weight.tensor?.dims ?? []) * form.bits) / 8;
  return [...weight.graph.values()].filter(({ tensor }) => tensor !== undefined && tensor.bytes >= least).length;
}

export async function writePlan(
  model: Model,
  { layers: plans, misses }: Plan,
  inference: Inference,
  rounding: Rounding,
  context: Context,
): Promise<Outcome> {
  const plain = rounding.rounder.zeroPoints === true ? { ...rounding, rounder: nearest } : rounding;
  const before = usedTensors(model);
  const readInside = new Set(
    plans.flatMap(({ layer }) => (layer.node.graph === layer.weight.graph ? [] : layer.weight)),
  );
  const run = { model, inference, rounding, plain, context, readInside };
  for (const plan of plans) await plan.form.begin?.(plan, run);
  const changes: Change[] = [];
  for (const [index, plan] of plans.entries()) {
    context.progress(index, plans.length);
    const { layer, form, why, decidedBy } = plan;
    const { bits } = form;
    const text = form.text(layer, run);
    const other = plans
      .slice(0, index)
      .find(({ layer: { weight, effective } }) => weight === layer.weight && effective !== layer.effective);
    const stored = other === undefined ? 0 : storedLike(plan);
    await form.write(emitInto(model, { before: layer.node, by: "quantize", onNode: inference.visit }), plan, run);
    const again =
      other !== undefined && storedLike(plan) > stored
        ? `stored a second time: "${other.layer.name}" reads the same matrix in another form`
        : undefined;
    const what = [text, why, again].filter((part) => part !== undefined).join(", ");
    changes.push({ at: layer.name, kind: "quantized", what, bits, decidedBy });
  }
  for (const graph of new Set([...readInside].map((weight) => weight.graph))) graph.sort();
  if (changes.length > 0) removeReplaced(model, before);
  return { changes, misses };
}
