/**
 * Corrects scales and biases of a quantized model if that lowers the output noise on held-out samples. For each channel y of the original,
 *
 *     y'' = f y' + s,     f = var(y) / cov(y, y'),     s = E[y] - f E[y']
 *
 * A correction of the mean alone (Nagel et al. 2019, arXiv 1906.04721) shrinks scores. f multiplies stored scales.
 */
import { biasedOutput, type Inference, infer, type Layer, layers } from "#analysis";
import { type Dataset, draw, firstBatch, isIndexed, keepInMemory, openStorage, setAside, take } from "#batches";
import { counted, elementCount, fixedDims, inMemory, isFloat, type Model, toFloat64, type Value } from "#ir";
import type { Change, Context } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { addOutputBias, isAboveRounding, scaleOf } from "../calibrate/add-output-bias.ts";
import { Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import { type PairedSums, pairedSums } from "../calibrate/column-statistics.ts";
import { type ModelMatch, matchOriginal } from "../calibrate/match-original.ts";
import { createTrials, noiseMeter } from "../shared/noise-trials.ts";
import type { RoundedSettings } from "./settings.ts";

/** With fewer samples, the means and the held-out check are too uncertain. */
const minSamples = 32;
const maxHeldOut = 32;
/** Number of layer outputs from which means and slopes are computed. */
const fittedOutputs = 2 ** 27;
/** Number of outputs of a channel that suffice, and the minimum number of samples that they come from. */
const [channelOutputs, minLayerSamples] = [2 ** 15, 8];
/** Number of outputs of a layer in a batch, and of layers whose outputs the original computes in one run. */
const [batchOutputs, aheadOutputs] = [2 ** 19, 2 ** 25];
/** Minimum share of the noise that a correction must remove. */
const minGain = 0.02;
/** Number of values that the layer's slope counts as beside a channel's own values. */
const priorCount = 300;
const maxFactor = 2;
/** Variance of a channel, relative to its power, that can be rounding error. */
const minVariance = 1e-9;

export async function correctRoundedBiases(
  model: Model,
  original: Model,
  { biasCorrection, scheme, data, samples }: RoundedSettings,
  context: Context,
): Promise<readonly Change[]> {
  if (biasCorrection === "none" || data === undefined || scheme === "dynamic") return [];
  const { engine, seed } = context;
  const dataset = await trainPart(data);
  const chosenSamples = isIndexed(dataset) ? draw(dataset, samples, seed) : await keepInMemory(dataset, samples);
  if (
    chosenSamples.count < minSamples ||
    feedingOf(original, await firstBatch(chosenSamples), chosenSamples.name).states.length > 0
  )
    return [];
  const heldOutCount = Math.floor(chosenSamples.count / 4);
  const { drawn: heldOut, rest } = setAside(chosenSamples, heldOutCount, seed);
  const match = await matchOriginal(model, original, engine);
  const trial = createTrials(
    model,
    noiseMeter(original, async () => heldOut, context, maxHeldOut),
    minGain,
  );
  let corrected = 0;
  const gain = await trial(async () => {
    const outputs = outputCounts(match).reduce((sum, count) => sum + count, 0);
    const fitCount = Math.max(minSamples, Math.floor(fittedOutputs / outputs));
    corrected = await correctLayers(model, match, take(rest, fitCount), scheme, context);
    return corrected > 0;
  });
  if (gain === undefined) return [];
  const text = `biases of ${counted(corrected, "layer")} corrected: ${gain} on ${counted(Math.min(heldOutCount, maxHeldOut), "other sample")}`;
  return [{ at: "bias correction", what: text, decidedBy: "global" }];
}

/** Returns the number of outputs of each layer for one sample. */
const outputCounts = ({ original: { graph }, layers }: ModelMatch): readonly number[] =>
  layers.map(({ original }) => elementCount(fixedDims(graph.value(original)?.type?.dims?.slice(1)) ?? []));

async function correctLayers(
  model: Model,
  match: ModelMatch,
  samples: Dataset,
  scheme: RoundedSettings["scheme"],
  { engine, signal, progress }: Context,
): Promise<number> {
  const storage = openStorage();
  try {
    const counts = outputCounts(match);
    const batch = Math.max(samplesAtOnce, Math.floor(batchOutputs / Math.max(...counts)));
    const walkOptions = { engine, signal, batch, storage, optimize: true };
    const total = samples.count ?? Number.POSITIVE_INFINITY;
    const begin = async (count: number) => {
      await storage.release();
      const firstSamples = take(samples, count);
      const calibration = await Calibration.begin(model, firstSamples, walkOptions);
      return { count, calibration, reference: await Calibration.begin(match.original, firstSamples, walkOptions) };
    };
    let walk: Awaited<ReturnType<typeof begin>> | undefined;
    const inference = infer(model);
    const all = layers(model, inference);
    let correctedCount = 0;
    /** Index of the first layer whose outputs the original has not stored. */
    let ahead = 0;
    for (const [index, { layerIndex, original: name, axis }] of match.layers.entries()) {
      progress(index, match.layers.length);
      const layer = all[layerIndex];
      const source = match.original.graph.value(name)?.producer;
      // The outputs of a transposed convolution have other statistics at each kernel position.
      if (layer === undefined || source === undefined || layer.role.outTaps !== undefined) continue;
      const biased = biasedOutput(layer, inference);
      if (biased === undefined || !canTakeBias(layer, inference, scheme)) continue;
      const neededCount = sampleCountForLayer((counts[index] ?? 0) / layer.outputs, total);
      if (walk === undefined || neededCount > walk.count) [walk, ahead] = [await begin(neededCount), index];
      const { calibration, reference } = walk;
      // The outputs of both models are stored, so that each layer runs once; those of several layers of the original in one run.
      await calibration.reach(biased.output.producer ?? layer.node, true);
      if (index >= ahead) {
        let outputs = 0;
        for (ahead = index; outputs <= aheadOutputs; ahead++) {
          const name = match.layers[ahead]?.original;
          if (name === undefined || (ahead > index && !reference.hasRows(name))) break;
          outputs += (counts[ahead] ?? 0) * walk.count;
        }
        const names = match.layers.slice(index, ahead).map(({ original }) => original);
        await reference.reach(match.original.graph.value(names.at(-1) ?? "")?.producer ?? source, true, names);
      }
      const place = { name: biased.output.name, axis };
      const sums = await calibration.observe(place, pairedSums, [reference, { name, axis }]);
      const floatBias = await readFloatBias(biased.bias?.vector ?? layer.bias);
      const factors = (await scaleOutputs(layer, sums)) ?? new Float64Array(sums.x.length).fill(1);
      const shift = fitShift(sums, factors);
      calibration.correct(place, factors, shift);
      // A bias in float is not multiplied by f.
      const addedBias = shift.map(
        (change, channel) =>
          change - (1 - (factors[channel] ?? 1)) * (floatBias?.[floatBias.length === 1 ? 0 : channel] ?? 0),
      );
      const powers = sums.xx.map((sum) => sum / sums.count);
      const isScaled = factors.some((factor) => Math.abs(factor - 1) > 1e-6);
      if (!isScaled && !isAboveRounding(addedBias, powers)) continue;
      await addOutputBias(model, layer, biased.bias, addedBias);
      correctedCount++;
    }
    return correctedCount;
  } finally {
    await storage.release();
  }
}

/** Returns a power of two, or all samples if more than half are needed. */
function sampleCountForLayer(positions: number, total: number): number {
  const neededCount = 2 ** Math.ceil(Math.log2(Math.max(minLayerSamples, channelOutputs / Math.max(1, positions))));
  return neededCount > total / 2 ? total : neededCount;
}

async function readFloatBias(bias: Value | undefined): Promise<Float64Array | undefined> {
  const dense = await bias?.tensor?.read();
  return dense === undefined || !isFloat(dense.type) ? undefined : toFloat64(dense);
}

/** Multiplies the scales of a layer's quantized weight and bias by f. @returns the factors; undefined without own scales. */
async function scaleOutputs(layer: Layer, sums: PairedSums): Promise<Float64Array | undefined> {
  const { node, role, bias, outputs } = layer;
  const values = [node.inputs[role.input], bias?.tensor === undefined ? bias : undefined];
  const scales = values.flatMap((value) => {
    const scale = value && scaleOf(value);
    return value === undefined ? [] : [scale?.uses.size === 1 ? scale : undefined];
  });
  const tensors = await Promise.all(scales.map((scale) => scale?.tensor?.read()));
  const [count] = tensors.map((dense) => dense?.data.length);
  if (count === undefined || tensors.some((dense) => dense?.data.length !== count) || (count > 1 && count !== outputs))
    return undefined;
  const factors = slopeFactors(sums, count > 1);
  for (const [index, scale] of scales.entries()) {
    const dense = tensors[index];
    if (scale === undefined || dense === undefined) continue;
    const scaledValues = Float32Array.from(toFloat64(dense), (value, channel) => value * (factors[channel] ?? 1));
    scale.tensor = inMemory({ type: "float32", dims: dense.dims, data: scaledValues });
  }
  return factors;
}

/** Returns f of each channel, or one for all: nearer to 1 the weaker the correlation, because it scales noise too. */
function slopeFactors({ count, x, y, xx, xy, yy }: PairedSums, isPerChannel: boolean): Float64Array {
  const covarianceOf = (products: Float64Array, a: Float64Array, b: Float64Array): Float64Array =>
    products.map((sum, channel) => sum - ((a[channel] ?? 0) * (b[channel] ?? 0)) / count);
  const moments = [covarianceOf(xx, x, x), covarianceOf(xy, x, y), covarianceOf(yy, y, y)];
  const totals = moments.map((all) => all.reduce((sum, value) => sum + value, 0));
  const layerSlope = (totals[1] ?? 0) / (totals[0] ?? 0);
  return x.map((_, channel) => {
    const [varX = 0, covariance = 0, varY = 0] = isPerChannel ? moments.map((all) => all[channel] ?? 0) : totals;
    const slope = ((count * covariance) / varX + priorCount * layerSlope) / (count + priorCount);
    const isConstant = isPerChannel && varX <= minVariance * (xx[channel] ?? 0);
    if (isConstant || !(slope > 1 / maxFactor && slope < maxFactor)) return 1;
    return 1 + Math.min(1, covariance ** 2 / (varX * varY)) * (1 / slope - 1);
  });
}

/** Returns s of each channel, reduced by the part that is sampling error. */
function fitShift({ count, x, y, xx, xy, yy }: PairedSums, factors: Float64Array): Float64Array {
  return x.map((sum, channel) => {
    const factor = factors[channel] ?? 1;
    const difference = (sum - factor * (y[channel] ?? 0)) / count;
    const squares = (xx[channel] ?? 0) - 2 * factor * (xy[channel] ?? 0) + factor ** 2 * (yy[channel] ?? 0);
    const variance = Math.max(0, squares / count - difference ** 2) / count;
    const certainShare = difference === 0 ? 0 : Math.max(0, 1 - variance / difference ** 2);
    return certainShare * difference;
  });
}

/** In integer schemes, a new bias or Add would prevent fusion in the runtime. */
function canTakeBias(layer: Layer, inference: Inference, scheme: RoundedSettings["scheme"]): boolean {
  if (layer.bias !== undefined) return true;
  return (
    scheme === "weights" && (layer.role.biasInput !== undefined || biasedOutput(layer, inference)?.bias !== undefined)
  );
}
