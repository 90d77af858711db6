/**
 * Integer arithmetic with ranges found at run time (`formats/integer-operators.ts`). With x ≈ (q - z) · s and W ≈ Q · w:
 *
 *     x · W ≈ s · w · Σ (q - z) · Q
 *
 * Integer sums are exact, so their order does not matter.
 */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { noLayers } from "../../core/analysis/no-layers.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { moveAxesBehindSums } from "../../rewrite/clean-up/fuse-pairs.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { inCodes } from "./formats/dequantize-linear.ts";
import { inIntegers } from "./formats/integer-operators.ts";
import { removeRoundings } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { keepsFloatArithmetic, planOf } from "./plan.ts";
import { prepare, tryOut } from "./prepare.ts";
import type { Rounding } from "./weight.ts";
import { writePlan } from "./write-plan.ts";

/** DynamicQuantizeLinear requires opset 11. */
const opset = 11;
/** Per-channel scales require opset 13. */
const opsetOfCodes = 13;

export async function quantizeDynamically(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  rounding: Rounding,
): Promise<Outcome> {
  const { existing } = rounding;
  const { targets: wanted, kept, misses: refused } = tryOut(model, options, true);
  const stores = selectLayers(allLayers(model, infer(model)), options).some(keepsFloatArithmetic);
  if (wanted.length === 0 && !stores) return { changes: [], misses: refused };
  raiseOpset(model, stores ? opsetOfCodes : opset);
  removeRoundings(model, existing, wanted, (value) => !kept.has(value));
  const moved = moveAxesBehindSums(model);
  const prepared = await prepare(model, wanted, context);
  const inference = infer(model);
  const all = allLayers(model, inference);
  const plan = planOf(selectLayers(all, options), options, inference, existing, (layer) => [
    keepsFloatArithmetic(layer) ? inCodes : inIntegers,
  ]);
  const { changes, misses } = await writePlan(model, plan, inference, rounding, context);
  return {
    changes: [...moved, ...prepared.changes, ...changes],
    misses: [...prepared.misses, ...noLayers(model, inference, all, true), ...misses],
  };
}
