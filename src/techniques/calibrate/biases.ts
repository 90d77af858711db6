/**
 * Bias correction (Nagel et al. 2019, arXiv 1906.04721, empirical form), y of the original, y' of the changed model:
 *
 *     b_c ← b_c + E[y_c] - E[y'_c]
 */
import { biasedOutput, checkWeight, infer, type Layer, layers as layersOf, weightNeeds } from "#analysis";
import type { Dataset } from "#batches";
import { inMemory, isFloat, type Model, toFloat64 } from "#ir";
import type { Context } from "#pass";
import { scaleChannels, storeBias } from "../../rewrite/clean-up/affine-weights.ts";
import { addOutputBias, isAboveRounding } from "./add-output-bias.ts";
import type { Calibration } from "./calibration.ts";
import { channelMoments } from "./column-statistics.ts";
import type { ModelMatch } from "./match-original.ts";
import { observe } from "./observe.ts";

interface BiasCorrection {
  readonly match: ModelMatch;
  readonly context: Pick<Context, "engine" | "signal" | "progress">;
  readonly overdue?: () => boolean;
}

/** @returns the number of corrected layers. */
export async function correctBiases(
  model: Model,
  data: Dataset,
  startCalibration: () => Promise<Calibration>,
  correction: BiasCorrection,
): Promise<number> {
  const { match, context, overdue } = correction;
  const { engine, signal, progress } = context;
  // Batch statistics would remove the corrected mean again.
  const matches = match.layers.filter(({ isNormalized }) => !isNormalized);
  if (matches.length === 0) return 0;
  const places = matches.map(({ original, axis }) => ({ name: original, axis }));
  const means = await observe(engine, match.original, data, places, channelMoments, { signal });
  const calibration = await startCalibration();
  const inference = infer(model);
  const all = layersOf(model, inference);
  let changedCount = 0;
  for (const [index, matched] of matches.entries()) {
    if (overdue?.() === true) break;
    progress(index, matches.length);
    const layer = all[matched.layerIndex];
    // Transposed convolutions have outputs per kernel position.
    if (layer === undefined || layer.role.outTaps !== undefined) continue;
    const [target, biased] = [means.get(matched.original), biasedOutput(layer, inference)];
    if (target === undefined || biased === undefined) continue;
    await calibration.reach(layer.node);
    const moments = await calibration.observe({ name: biased.output.name, axis: matched.axis }, channelMoments);
    const ofTarget = (numbers: Float64Array, channel: number) => numbers[matched.kept?.[channel] ?? channel] ?? 0;
    const factors = moments.variance.map((variance, channel) =>
      deviationRatio(ofTarget(target.variance, channel), variance),
    );
    const isScaled = await scaleConvolution(model, layer, factors);
    const shift = moments.mean.map(
      (mean, channel) => ofTarget(target.mean, channel) - (isScaled ? (factors[channel] ?? 1) : 1) * mean,
    );
    const powers = moments.variance.map((variance, channel) => variance + (moments.mean[channel] ?? 0) ** 2);
    if (!isScaled && !isAboveRounding(shift, powers)) continue;
    await addOutputBias(model, layer, biased.bias, shift);
    changedCount++;
  }
  return changedCount;
}

const [minFactor, maxFactor] = [0.5, 2];

export function deviationRatio(targetVariance: number, variance: number): number {
  const ratio = targetVariance > 0 && variance > 0 ? Math.sqrt(targetVariance / variance) : 1;
  return Math.min(maxFactor, Math.max(minFactor, ratio));
}

/** Multiplies the output channels of a convolution. @returns whether it changed. */
async function scaleConvolution(model: Model, layer: Layer, factors: Float64Array): Promise<boolean> {
  const { role, bias, weight, node } = layer;
  const biasDense = await bias?.tensor?.read();
  const isUnchanged = factors.every((factor) => Math.abs(factor - 1) < 1e-5);
  const isShared = bias !== undefined && (biasDense === undefined || !isFloat(biasDense.type));
  if (
    isUnchanged ||
    role.window === undefined ||
    isShared ||
    node.outputs.some((value) => value && model.graph.isOutput(value))
  )
    return false;
  if (checkWeight(layer, weightNeeds.fuse) !== undefined) return false;
  const dense = await weight.tensor?.read();
  const scaledWeight = dense && scaleChannels(dense, role, factors, "outputs");
  if (scaledWeight === undefined) return false;
  weight.tensor = inMemory(scaledWeight);
  if (biasDense !== undefined && role.biasInput !== undefined) {
    const values = toFloat64(biasDense).map((value, channel) => value * (factors[channel] ?? 1));
    model.graph.setInput(node, role.biasInput, storeBias(model, layer, values));
  }
  return true;
}
