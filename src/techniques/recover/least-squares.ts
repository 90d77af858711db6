/**
 * Recovery stage: refits weights so that a layer on the changed model's inputs P reproduces the original layer's outputs Y,
 *
 *     W = argmin ‖P W - Y‖² + λ ‖W - W_before‖²
 *
 * (He, Zhang and Sun 2017, arXiv 1707.06168, for pruned channels), in float64. Zeros of a weight stay 0. λ is chosen on held-out samples.
 */
import type { Inference, Layer } from "#analysis";
import {
  biasedOutput,
  checkWeight,
  infer,
  layers,
  maskingOf,
  weightElements,
  weightMatrices,
  weightNeeds,
  weightShape,
} from "#analysis";
import { firstBatch, openStorage, take } from "#batches";
import type { Model, Random } from "#ir";
import { counted, fromNumbers, inMemory, isFloat, joinArrays, Miss, random, toFloat64 } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { type Matrix, type Multiply, matrix, transpose } from "../../core/math/matrix.ts";
import { axpy } from "../../core/math/vector.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { addOutputBias } from "../calibrate/add-output-bias.ts";
import { deviationRatio } from "../calibrate/biases.ts";
import { type Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import { readFeatures } from "../calibrate/features.ts";
import { featureSizes, featuresOf, type LayerFeatures, samplesThatFit } from "../calibrate/layer-features.ts";
import type { LayerMatch } from "../calibrate/match-original.ts";
import { zipAsync } from "../calibrate/zip-async.ts";
import { addRows, addTo, emptySums, gradientAt, residual, type Sums, solveRidge } from "../shared/normal-equations.ts";
import { type Norm, normsOf, recalibrate } from "./batch-norm.ts";
import { type Scope, type Stage, startCalibration } from "./stage.ts";

/** Rows of inputs per feature; more rows add little. */
const rowsPerFeature = 16;
const minRows = 1024;
const rowsFor = (width: number): number => Math.max(minRows, rowsPerFeature * width);
/** Every fourth batch is held out to choose λ. */
const checkEvery = 4;

/** Maximum rows of one sample that count, since further positions of an image are similar to these, and minimum number of samples. */
const [maxRowsPerSample, minSamples] = [64, 32];

/** Returns few samples, a power of two, for a layer with many positions per sample: storing their values takes most of the time. */
function samplesNeeded(layer: Layer, count: number): number {
  const { perGroup, positions } = featureSizes(layer) ?? {};
  if (perGroup === undefined || positions === undefined) return count;
  const samples = rowsFor(perGroup + 1) / Math.min(positions, maxRowsPerSample);
  return Math.min(count, Math.max(minSamples, 2 ** Math.ceil(Math.log2(samples))));
}

export const solveLayers: Stage = {
  name: "least-squares",
  async run(model, scope) {
    const misses: Miss[] = [...scope.match.misses];
    let changed = 0;
    const engineProducts = engineMultiply(scope.context.engine);
    const inference = infer(model);
    const all = layers(model, inference);
    const matches = scope.match.layers.flatMap((matched) => {
      const layer = all[matched.layerIndex];
      return layer === undefined ? [] : [{ layer, matched }];
    });
    const { states } = feedingOf(model, await firstBatch(scope.data), scope.data.name);
    const samplesOf = (layer: Layer) => (states.length > 0 ? scope.data.count : samplesNeeded(layer, scope.data.count));
    let runs: Calibrations | undefined;
    try {
      for (const [index, { layer, matched }] of matches.entries()) {
        if (scope.overdue()) break;
        scope.context.progress(index, matches.length);
        const samples = samplesOf(layer);
        if (runs === undefined || samples > runs.samples) {
          await runs?.current.release();
          const remaining = matches.slice(index).map((match) => match.layer);
          runs = await startRuns(model, inference, remaining, { ...scope, data: take(scope.data, samples) });
        }
        const outcome = await solveLayer(layer, { ...matched, samples }, runs, scope, engineProducts.multiply);
        if (outcome instanceof Miss) misses.push(outcome);
        else if (outcome) changed++;
      }
    } finally {
      await runs?.current.release();
      await engineProducts.release();
    }
    return { changed, misses, what: `weights of ${counted(changed, "layer")} fitted to the original's outputs` };
  },
};

interface Calibrations {
  readonly current: Calibration;
  readonly original: Calibration;
  readonly samples: number;
  /** The inference of the changed model, which new weights do not affect. */
  readonly inference: Inference;
  readonly norms: readonly Norm[];
}

async function startRuns(
  model: Model,
  inference: Inference,
  remaining: readonly Layer[],
  scope: Scope,
): Promise<Calibrations> {
  const samples = scope.data.count;
  // At least four batches, so that one is left for validation.
  const batch = Math.max(1, Math.floor(Math.min(samplesAtOnce, samples / checkEvery, samplesThatFit(remaining))));
  const calibrationScope = { ...scope, storage: openStorage() };
  return {
    current: await startCalibration(model, calibrationScope, batch),
    original: await startCalibration(scope.match.original, calibrationScope, batch),
    samples,
    inference,
    norms: normsOf(model, inference).filter((norm): norm is Norm => !(norm instanceof Miss)),
  };
}

/** A layer with the number of samples that it is fitted on. */
type SampledMatch = LayerMatch & { readonly samples: number };

async function solveLayer(
  layer: Layer,
  layerMatch: SampledMatch,
  runs: Calibrations,
  scope: Scope,
  multiply: Multiply,
): Promise<boolean | Miss> {
  const { model } = runs.current;
  const { engine } = scope.context;
  const linear = await readLinearLayer(model, layer, runs.inference, engine);
  if (linear instanceof Miss) return linear;
  const sums = await collectSums(layer, layerMatch, linear, runs, scope, multiply);
  if (sums instanceof Miss) return sums;
  const { features, outputs, canChangeBias } = linear;
  const isOutput = model.graph.outputs.some(({ name }) => name === layerMatch.original);
  const keepsVariance = canChangeBias && !layerMatch.isNormalized && !isOutput && layer.role.window !== undefined;
  const weights: Matrix[] = [];
  const shift = new Float64Array(linear.before.length * outputs);
  let isChanged = false;
  for (const [group, before] of linear.before.entries()) {
    const [fit, check] = [sums.fit[group], sums.check[group]];
    if (fit === undefined || check === undefined) continue;
    const best = await findBestWeights(fit, check, before, linear, keepsVariance, multiply);
    if (best instanceof Miss) return new Miss(best.reason, layerMatch.name);
    isChanged ||= best !== before;
    weights.push(matrix(features, outputs, best.data.slice(0, features * outputs)));
    for (let index = features * outputs; index < best.data.length; index++)
      shift[group * outputs + index - features * outputs] = (best.data[index] ?? 0) - (before.data[index] ?? 0);
  }
  if (!isChanged) return false;
  const biased = biasedOutput(layer, runs.inference);
  await writeWeights(layer, weights);
  if (canChangeBias && !layerMatch.isNormalized) await addOutputBias(model, layer, biased?.bias, shift);
  for (const norm of runs.norms) if (norm.data === biased?.output) await recalibrate(norm, runs.current);
  return true;
}

/** A layer as y = P w, with P from `techniques/calibrate/layer-features.ts`. */
interface LinearLayer {
  readonly layerFeatures: LayerFeatures;
  readonly features: number;
  readonly outputs: number;
  /** Whether the bias can change: stored as floats, or absent and possible. P then has a last column of ones. */
  readonly canChangeBias: boolean;
  /** Weights per group as [features, outputs], with biases as a last row if they can change. */
  readonly before: readonly Matrix[];
}

/** Maximum features per group: their products form a square matrix of this size. */
const maxFeatures = 2304;

async function readLinearLayer(
  model: Model,
  layer: Layer,
  inference: Inference,
  engine: Engine,
): Promise<LinearLayer | Miss> {
  const { role, effective, name } = layer;
  const miss = checkWeight(layer, weightNeeds.solve);
  if (miss !== undefined) return miss;
  const inputFeatures = featuresOf(layer);
  if (inputFeatures instanceof Miss) return inputFeatures;
  const dense = await readStoredValue(model, effective, engine);
  const { outputs, inputs, taps } = weightShape(role, dense.dims);
  const features = inputs * taps;
  if (features > maxFeatures)
    return new Miss(`it has ${features} weights for each output; least squares takes up to ${maxFeatures}`, name);
  const sum = biasedOutput(layer, inference)?.bias;
  const bias = sum?.vector ?? layer.bias;
  const biases = bias === undefined ? new Float64Array(1) : toFloat64(await readStoredValue(model, bias, engine));
  const canChangeBias =
    role.outTaps === undefined &&
    (role.biasInput !== undefined || sum !== undefined) &&
    (bias === undefined || (bias.tensor !== undefined && isFloat(bias.tensor.type))) &&
    (biases.length === 1 || biases.length === layer.outputs);
  if (bias !== undefined && !canChangeBias)
    return new Miss("its bias is not a stored vector with a number for each output", name);
  const before = weightMatrices(role, dense.dims, toFloat64(dense)).map((weights, group) => {
    const transposedWeights = transpose(weights);
    if (!canChangeBias) return transposedWeights;
    const biasRow = Float64Array.from(
      { length: outputs },
      (_, output) => biases[biases.length === 1 ? 0 : group * outputs + output] ?? 0,
    );
    return matrix(features + 1, outputs, joinArrays(Float64Array, [transposedWeights.data, biasRow]));
  });
  return { layerFeatures: inputFeatures, features, outputs, canChangeBias, before };
}

/** Replaces weights of a layer except masked ones. */
async function writeWeights({ weight, role }: Layer, weights: readonly Matrix[]): Promise<void> {
  const before = await weight.tensor?.read();
  if (before === undefined || !isFloat(before.type)) return;
  const mask = maskingOf(weight)?.mask.tensor;
  const maskValues = mask === undefined ? undefined : toFloat64(await mask.read());
  const oldValues = toFloat64(before);
  const values = weightElements(role, before.dims, weights.map(transpose)).map((value, index) =>
    maskValues?.[index] === 0 ? (oldValues[index] ?? 0) : value,
  );
  weight.tensor = inMemory(fromNumbers(before.type, before.dims, values));
}

/** Candidates for λ, as shares of the mean square of a feature. */
const dampings = [1e-9, 1e-6, 1e-4, 1e-2, 1e-1] as const;
/** Minimum relative gain; less is not worth rounding the weights to their type again. */
const minGain = 1e-3;

async function findBestWeights(
  fit: Sums,
  check: Sums,
  before: Matrix,
  { features, outputs, canChangeBias }: LinearLayer,
  keepsVariance: boolean,
  multiply: Multiply,
): Promise<Matrix | Miss> {
  const hasZeros = before.data.subarray(0, features * outputs).some((value) => value === 0);
  const freeEntries = hasZeros
    ? Uint8Array.from(before.data, (value, index) => Number(value !== 0 || index >= features * outputs))
    : undefined;
  const power = check.power.reduce((sum, groupPower) => sum + groupPower, 0);
  let [best, minError] = [undefined as number | undefined, (1 - minGain) * (await residual(check, before, multiply))];
  // A fit at float32 precision cannot improve.
  if (minError <= 1e-12 * power) return before;
  const ones = canChangeBias ? features : undefined;
  const solve = async (sums: Sums, gradient: Matrix, damping: number): Promise<Matrix | Miss> => {
    const step = await solveRidge(sums, gradient, { damping, free: freeEntries, ones }, multiply);
    if (step instanceof Miss) return step;
    addTo(step, before);
    return step;
  };
  let refusal: Miss | undefined;
  let lastError = Number.POSITIVE_INFINITY;
  const gradient = await gradientAt(fit, before, multiply);
  for (const damping of dampings) {
    const next = await solve(fit, gradient, damping);
    if (next instanceof Miss) {
      refusal = next;
      continue;
    }
    refusal = undefined;
    const error = await residual(check, next, multiply);
    if (error < minError) [best, minError] = [damping, error];
    // The error falls with the damping, and then rises.
    if (error > lastError) break;
    lastError = error;
  }
  if (best === undefined && refusal !== undefined) return refusal;
  for (const sums of ["gram", "cross"] as const) addTo(fit[sums], check[sums]);
  axpy(1, check.power, 0, fit.power, 0, fit.power.length);
  const weights = best === undefined ? before : await solve(fit, await gradientAt(fit, before, multiply), best);
  return weights instanceof Miss || !keepsVariance ? weights : scaleToTargets(fit, weights, features, multiply);
}

/** Scales each output to the variance of its target: a fit explains a part of it, and over many layers the signal would vanish. */
async function scaleToTargets(
  { gram, cross, power }: Sums,
  weights: Matrix,
  ones: number,
  multiply: Multiply,
): Promise<Matrix> {
  const { rows, columns, data } = weights;
  const products = (await multiply(gram, weights)).data;
  const count = gram.data[ones * (rows + 1)] ?? 1;
  const scaledWeights = matrix(rows, columns, data.slice());
  for (let output = 0; output < columns; output++) {
    const at = (feature: number): number => feature * columns + output;
    let square = 0;
    for (let feature = 0; feature < rows; feature++) square += (data[at(feature)] ?? 0) * (products[at(feature)] ?? 0);
    const [mean, target] = [(products[at(ones)] ?? 0) / count, (cross.data[at(ones)] ?? 0) / count];
    const [variance, targetVariance] = [square / count - mean ** 2, (power[output] ?? 0) / count - target ** 2];
    const scale = deviationRatio(targetVariance, variance);
    for (let feature = 0; feature < rows; feature++) scaledWeights.data[at(feature)] = scale * (data[at(feature)] ?? 0);
    scaledWeights.data[at(ones)] = target - scale * (mean - (data[at(ones)] ?? 0));
  }
  return scaledWeights;
}

interface FitAndCheck {
  readonly fit: readonly Sums[];
  readonly check: readonly Sums[];
}

async function collectSums(
  layer: Layer,
  layerMatch: SampledMatch,
  linear: LinearLayer,
  runs: Calibrations,
  { context, match }: Scope,
  multiply: Multiply,
): Promise<FitAndCheck | Miss> {
  const target = match.original.graph.value(layerMatch.original);
  if (target?.producer === undefined) return new Miss("the original has no such value", layerMatch.name);
  await runs.current.reach(layer.node);
  await runs.original.reach(target.producer, true, [target.name]);
  const { layerFeatures, before, outputs, canChangeBias } = linear;
  const width = linear.features + (canChangeBias ? 1 : 0);
  const make = (): Sums[] => before.map(() => emptySums(width, outputs));
  const sums: FitAndCheck = { fit: make(), check: make() };
  const rows = rowsFor(width) / layerMatch.samples;
  const draw = random(context.seed, "rows", layerMatch.name);
  const columnsPerMatrix = (outputs * before.length) / layer.outputs;
  let step = 0;
  let seen = 0;
  const batches = zipAsync(runs.current.features(layerFeatures), runs.original.values([layerMatch.original]));
  for await (const [p, { [layerMatch.original]: answer }] of batches) {
    if (answer === undefined) return new Miss("it has no output", layerMatch.name);
    const axes = 1 + (layer.role.outTaps?.length ?? 0);
    const y = readFeatures(answer, { axis: layerMatch.axis, axes, rank: target.type?.dims?.length });
    if (p.rows !== y.rows) return new Miss("output shape differs from the original's", layerMatch.name);
    const chosenRows = chooseRows(p.rows, Math.ceil(rows * (answer.dims[0] ?? 1)), draw);
    const part = step++ % checkEvery === checkEvery - 1 ? sums.check : sums.fit;
    for (const [group, groupSums] of part.entries()) {
      const columns = range(group * outputs, outputs).map((output) => {
        const channel = Math.floor(output / columnsPerMatrix);
        return (layerMatch.kept?.[channel] ?? channel) * columnsPerMatrix + (output % columnsPerMatrix);
      });
      const seenRows = canChangeBias ? withOnes(p.matrix(group, chosenRows)) : p.matrix(group, chosenRows);
      await addRows(groupSums, seenRows, y.matrix(undefined, chosenRows, columns), multiply);
    }
    seen += answer.dims[0] ?? 1;
    if (seen >= layerMatch.samples && step >= checkEvery) break;
  }
  return sums;
}

function withOnes({ rows, columns, data }: Matrix): Matrix {
  const extended = matrix(rows, columns + 1);
  for (let row = 0; row < rows; row++) {
    extended.data.set(data.subarray(row * columns, (row + 1) * columns), row * (columns + 1));
    extended.data[row * (columns + 1) + columns] = 1;
  }
  return extended;
}

function chooseRows(count: number, maxCount: number, draw: Random): Uint32Array {
  if (maxCount >= count) return Uint32Array.from({ length: count }, (_, index) => index);
  return Uint32Array.from({ length: maxCount }, () => draw.integer(count));
}

const range = (start: number, count: number): number[] => Array.from({ length: count }, (_, index) => start + index);
