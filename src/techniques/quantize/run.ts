/** The work of the passes `quantize` and `equalize`, which is loaded when one of them runs. */
import type * as v from "valibot";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { type Selection, selectLayers } from "../../core/analysis/selection.ts";
import { isQuantized } from "../../core/analysis/weight.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseOptions } from "../../core/pass/option-errors.ts";
import type { Change, Context, OptionValues, Outcome } from "../../core/pass/pass.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { storeFewValues } from "./few-values.ts";
import { quantizeOptions } from "./options.ts";
import { equalizeModel, quantizeBy, storeForm } from "./round-model.ts";
import { rounders } from "./rounders/index.ts";
import { isHalf, settingsOfSteps } from "./settings.ts";

export async function runEqualize(
  model: Model,
  options: v.InferOutput<typeof quantizeOptions>,
  context: Context,
): Promise<Outcome> {
  await storeForm(model, context);
  const changes: Change[] = [];
  for (const step of settingsOfSteps(options))
    if (!isHalf(step)) changes.push(...(await equalizeModel(model, step, context)));
  return { changes, misses: [] };
}

export async function runQuantize(
  model: Model,
  options: v.InferOutput<typeof quantizeOptions>,
  context: Context,
): Promise<Outcome> {
  await storeForm(model, context);
  const outcomes: Outcome[] = [];
  for (const step of settingsOfSteps(options)) {
    if (isHalf(step)) {
      outcomes.push(await quantizeBy(step, model, context));
      continue;
    }
    if (options.rounder === undefined && rounders.looksAtSamples(step.rounder)) {
      const text = `weights are quantized layer by layer, to match the original's outputs on the calibration samples (${step.rounder}); --rounder mse takes seconds`;
      context.log({ id: "rounder", text, level: "note" });
    }
    const { lowEntropy } = step;
    // The code that reads data is loaded on demand.
    const { changes, misses } =
      lowEntropy === undefined
        ? await quantizeBy(step, model, context)
        : await (await import("./distortion.ts")).quantizeForDownload({ ...step, lowEntropy }, model, context);
    const constants = changes.length === 0 ? [] : await storeFewValues(model, context);
    outcomes.push({ changes: [...changes, ...constants], misses });
  }
  return {
    changes: outcomes.flatMap(({ changes }) => changes),
    misses: outcomes.flatMap(({ misses }) => misses),
  };
}

/**
 * Returns advice to keep depthwise layers in float; undefined if none is quantized. This is not the default: MobileNetV2 is 2.0 × as
 * fast as float with depthwise layers on integers, and 1.1 × without. A small MobileNetV3 is 0.95 × and 1.1 × as fast.
 */
export function adviseFloatDepthwise(original: Model, options: Selection): string | undefined {
  const copy = original.clone();
  storeWeights(copy);
  const names = selectLayers(allLayers(copy, infer(copy)), options).flatMap(({ name, role, outputs, inputs }) =>
    role.groups > 1 && role.groups === inputs && outputs >= inputs ? [name] : [],
  );
  if (names.length === 0) return undefined;
  const except = [options.except ?? [], names].flat().join(",");
  return `Keep depthwise layers in float and compare the speed: \`except: "${except}"\``;
}

/** @throws PithError E_UNSUPPORTED if all selected weights are quantized already. */
export async function requireFloatWeights(copy: Model, options: OptionValues): Promise<void> {
  const steps = settingsOfSteps(parseOptions("quantize", quantizeOptions, options));
  if (steps.some(isHalf)) return;
  storeWeights(copy);
  const chosen = selectLayers(allLayers(copy, infer(copy)), options);
  if (chosen.length === 0 || !chosen.every(isQuantized)) return;
  throw new PithError("E_UNSUPPORTED", "All weights are quantized already.", {
    hint: "Use the float model that they were made from.",
  });
}
