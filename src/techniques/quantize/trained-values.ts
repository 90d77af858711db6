/**
 * Trains quantized values for small downloads. All layers together lower
 *
 *     J = e + λ · bits
 *
 * with the relative squared error e of the network's outputs, which needs no labels. A weight is w' = Δ · round(w / Δ), through which the
 * gradient passes unchanged (`rounding.ts`). The steps Δ are fixed. Parameters that are not quantized are trained, too.
 */
import { allLayers, infer, isInside, type Layer, maskingOfProduct, nameBeforeMasking, parametersOf } from "#analysis";
import type { Emit, Model, Value } from "#ir";
import {
  alongAxis,
  elementCount,
  emitInto,
  fixedDims,
  float32,
  inMemory,
  replaceUses,
  substitute,
  toFloat32,
  typeCodes,
} from "#ir";
import { type Context, parseOptions } from "#pass";
import { times } from "../../core/numbers.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { trainPart } from "../../data/sources/open.ts";
import { chooseBatchSize } from "../../learn/train/batch-size.ts";
import type { Loss } from "../../learn/train/loss.ts";
import { imitation } from "../../learn/train/losses/imitation.ts";
import type { Optimizer } from "../../learn/train/optimizer.ts";
import { adam } from "../../learn/train/optimizers.ts";
import { openData } from "../../learn/train/plan.ts";
import { trainInPlace } from "../../learn/train/train.ts";
import { type TrainOptions, trainOptions } from "../../learn/train/train-options.ts";
import { setMask } from "../../rewrite/edit/mask.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { readStored, readStoredValue } from "../../rewrite/edit/stored.ts";
import { noiseMeter } from "../../runtime/noise/output-noise.ts";
import { withClassScores } from "./class-scores.ts";
import { codeLengths } from "./rounders/rdoq.ts";
import { round, scaleDims } from "./rounding.ts";
import { scaleAxis } from "./weight.ts";

/** Minimum opset, in which Clip has its bounds as inputs. */
const opset = 13;
/** Learning rates of Adam: in steps Δ for quantized values, and for other parameters. */
const [stepRate, learningRate] = [0.01, 0.001];
/** Share of the steps with a rising learning rate, because Adam's first steps move every value equally far. */
const warmup = 0.1;
const batch = 32;
/** Share and maximum number of samples that are held out to validate the trained values. */
const [validationShare, maxValidationSamples] = [0.1, 512];
/** With fewer samples, all of them are used for training and validation. */
const minSamples = 100;

interface ValueTraining {
  readonly data: Dataset | string;
  readonly training: Pick<TrainOptions, "epochs" | "augment" | "checkpoint" | "resume">;
  /** λ: error of the outputs, relative to their power, that a bit is worth. */
  readonly lambda: number;
  /** Step sizes Δ by layer: a single one, or one for each index of the scale axis. */
  readonly scales: ReadonlyMap<string, Float32Array>;
  /** Largest magnitude of a quantized value. */
  readonly limit: number;
}

/**
 * Trains a float model in place: the weights of layers in `scales` become integer multiples of their step sizes.
 * @param rounded the same model with quantized weights.
 * @returns the names of these layers; empty if the training does not lower output error + λ · bits (J, see the top of the file) on held-out samples.
 */
export async function trainValues(
  model: Model,
  rounded: Model,
  { data, training, lambda, scales, limit }: ValueTraining,
  context: Context,
): Promise<ReadonlySet<string>> {
  const trial = withClassScores(model);
  raiseOpset(trial, opset);
  const trainableLayers = findTrainable(trial).filter(({ name }) => scales.has(name));
  if (trainableLayers.length === 0) {
    context.log({ id: "no-trained-values", text: "none of the rounded layers can be trained", level: "warning" });
    return new Set();
  }
  await setStartValues(rounded, trial, trainableLayers, scales, context);
  const trainedWeights = writeRoundings(trial, new Set(trainableLayers.map(({ name }) => name)), scales, limit);
  const names = new Set(trainedWeights.map(({ layer }) => layer));
  const steps = trainedWeights.map((term) => term.steps);
  const weights = new Set(trainedWeights.map(({ weight }) => weight));
  const frozenLayers = allLayers(trial, infer(trial)).filter(({ weight }) => !weights.has(weight.name));
  const allSamples = await trainPart(data);
  const isLarge = isIndexed(allSamples) && allSamples.count >= minSamples;
  const parts = isLarge
    ? await openData(allSamples, validationShare, context.seed, maxValidationSamples)
    : { data: allSamples, validation: allSamples };
  const { size } = await chooseBatchSize(trial, batch, parts.data);
  const settings = {
    ...training,
    ...{ data: parts.data, loss: ratedImitation(withClassScores(model), steps, lambda) },
    ...{ batch: size, warmup, learningRate, optimizer: adamInSteps(trainedWeights) },
    ...(frozenLayers.length > 0 && { except: frozenLayers.map(({ name }) => name) }),
  };
  await trainInPlace(trial, parseOptions("train", trainOptions, settings), context);
  const candidate = model.clone();
  await storeTrained(candidate, trial, trainedWeights, context);
  const noise = noiseMeter(withClassScores(model), async () => parts.validation, context, maxValidationSamples);
  /** @param floats the model whose unquantized parameters are counted. */
  const costOf = async (candidate: Model, floats: Model): Promise<number> => {
    const bits = (await countBits(candidate, names, scales, context)) + (await countFloatBits(floats));
    return ((await noise(withClassScores(candidate))) ?? Number.NaN) + lambda * bits;
  };
  const [oldCost, newCost] = [await costOf(rounded, model), await costOf(candidate, candidate)];
  if (newCost < oldCost) {
    await storeTrained(model, trial, trainedWeights, context);
    return names;
  }
  const text = `after the training, error and code length together are ${times(newCost / oldCost)} those of the values before it, which are kept`;
  context.log({ id: "training-without-gain", text, level: "warning" });
  return new Set();
}

/** Returns the code length of the quantized values of the named layers. */
async function countBits(
  model: Model,
  names: ReadonlySet<string>,
  scales: ValueTraining["scales"],
  { engine }: Context,
): Promise<number> {
  const countedWeights = new Set<Value>();
  let bits = 0;
  for (const layer of allLayers(model, infer(model))) {
    const { name, effective } = layer;
    const steps = scales.get(name);
    if (steps === undefined || !names.has(name) || countedWeights.has(effective)) continue;
    countedWeights.add(effective);
    const stepOf = stepsAt(layer, steps);
    const values = toFloat32(await readStoredValue(model, effective, engine));
    const codes = Float64Array.from(values, (value, index) => Math.round(value / stepOf(index)));
    const lengths = codeLengths(byte, [{ data: codes }]);
    for (const code of codes) bits += lengths[code - byte.low] ?? 0;
  }
  return bits;
}

/** Returns the bits of parameters that are not weights of layers, such as biases: 16 for each bfloat16 value that is not 0. */
async function countFloatBits(model: Model): Promise<number> {
  const inference = infer(model);
  const weights = new Set(allLayers(model, inference).map(({ weight }) => weight));
  let bits = 0;
  for (const parameter of parametersOf(model, inference)) {
    if (parameter.tensor === undefined || weights.has(parameter)) continue;
    for (const value of toFloat32(await parameter.tensor.read())) bits += value === 0 ? 0 : 16;
  }
  return bits;
}

const byte = { low: -128, high: 127 };

function stepsAt(layer: Layer, steps: Float32Array): (at: number) => number {
  const { inner } = alongAxis(fixedDims(layer.weight.type?.dims) ?? [], scaleAxis(layer));
  return (index) => steps[Math.floor(index / inner) % steps.length] ?? 1;
}

/** Adam whose learning rate for quantized weights is in steps Δ. */
function adamInSteps(trainedWeights: readonly TrainedWeight[]): Optimizer {
  const optimizer = adam();
  const factors = new Map(trainedWeights.map(({ weight, scale }) => [weight, (stepRate / learningRate) * scale]));
  return {
    ...optimizer,
    update(parameters, rate) {
      for (const parameter of parameters) optimizer.update([parameter], rate * (factors.get(parameter.name) ?? 1));
    },
  };
}

interface TrainedWeight {
  readonly layer: string;
  readonly result: Value;
  /** Name of the value w / Δ. */
  readonly steps: string;
  readonly weight: string;
  /** Mean of the steps Δ. */
  readonly scale: number;
}

/** Writes the rounding of the named layers' weights, once for all layers that share a weight. */
function writeRoundings(
  model: Model,
  names: ReadonlySet<string>,
  scales: ValueTraining["scales"],
  limit: number,
): readonly TrainedWeight[] {
  const emit = emitInto(model, { by: "quantize" });
  const namedLayers = allLayers(model, infer(model)).filter(({ name }) => names.has(name));
  const byWeight = new Map(namedLayers.map((layer) => [layer.effective, layer]));
  const trainedWeights = Array.from(byWeight, ([effective, layer]): TrainedWeight => {
    const { name, weight } = layer;
    const scale = [...(scales.get(name) ?? [])];
    const axis = scale.length === 1 ? undefined : scaleAxis(layer);
    const dims = scaleDims(fixedDims(weight.type?.dims) ?? [], axis, scale.length);
    const { result, division } = round(
      emit,
      nameBeforeMasking(weight),
      effective,
      { scale, low: -limit, high: limit },
      dims,
    );
    replaceUses(effective, result, division);
    const mean = scale.reduce((sum, step) => sum + step, 0) / scale.length;
    return { layer: name, result, steps: division?.outputs[0]?.name ?? "", weight: weight.name, scale: mean };
  });
  model.graph.sort();
  return trainedWeights;
}

/**
 * Returns the layers whose stored float32 weight (possibly masked) all layers read in the same form. Tables are not trained, because
 * few of their rows have a gradient. Layers in subgraphs and in float16 keep their untrained values.
 */
function findTrainable(model: Model): readonly Layer[] {
  const all = allLayers(model, infer(model));
  return all.filter(
    ({ role, weight, effective }) =>
      role.kind !== "lookup" &&
      weight.tensor?.type === "float32" &&
      (effective === weight || maskingOfProduct(effective)?.parameter === weight) &&
      all.every((other) => other.weight !== weight || (other.effective === effective && !isInside(other))),
  );
}

/** Maximum distance of a starting value from its quantized value, in steps. */
const maxDistance = 0.45;

/**
 * Sets each weight to a float value that rounds to its quantized value and lies towards the original value. If the training started
 * from the quantized values, many would cross a threshold at the same time. Zeros of a pruned weight are masked.
 */
async function setStartValues(
  rounded: Model,
  trial: Model,
  layers: readonly Layer[],
  scales: ValueTraining["scales"],
  { engine }: Context,
): Promise<void> {
  const quantizedWeights = new Map(allLayers(rounded, infer(rounded)).map(({ name, effective }) => [name, effective]));
  for (const layer of layers) {
    const { name, weight, effective } = layer;
    const value = quantizedWeights.get(name);
    if (value === undefined || weight.tensor === undefined) continue;
    const originalValues = toFloat32(await readStoredValue(trial, effective, engine));
    const start = toFloat32(await readStoredValue(rounded, value, engine));
    const { dims } = weight.tensor;
    const stepOf = stepsAt(layer, scales.get(name) ?? new Float32Array());
    const values = start.map((quantized, index) => {
      const step = stepOf(index);
      return quantized + maxDistance * step * Math.tanh(((originalValues[index] ?? 0) - quantized) / step);
    });
    weight.tensor = inMemory(float32(dims, values));
    if (effective === weight && originalValues.includes(0) && maskingOfProduct(effective) === undefined)
      await setMask(
        trial,
        weight,
        Uint8Array.from(originalValues, (value) => Number(value !== 0)),
      );
  }
}

async function storeTrained(
  model: Model,
  trial: Model,
  trainedWeights: readonly TrainedWeight[],
  { engine }: Context,
): Promise<void> {
  const { graph } = model;
  for (const { name, tensor } of trial.graph.values()) {
    const value = graph.value(name);
    if (tensor !== undefined && value?.tensor !== undefined) value.tensor = tensor;
  }
  const results = trainedWeights.map(({ result }) => result);
  const values = await readStored(trial, results, engine);
  const layers = new Map(allLayers(model, infer(model)).map((layer) => [layer.name, layer]));
  for (const { layer, result } of trainedWeights) {
    const [effective, dense] = [layers.get(layer)?.effective, values.get(result)];
    if (effective === undefined || dense === undefined) continue;
    if (effective.tensor !== undefined) effective.tensor = inMemory(dense);
    else substitute(effective, graph.addTensor(graph.freshName(`${effective.name}.trained`), inMemory(dense)));
  }
}

/** Returns the loss e + λ · bits. @param steps names of the values w / Δ. */
export function ratedImitation(original: Model, steps: readonly string[], lambda: number): Loss {
  const imitationLoss = imitation(original);
  return {
    name: "imitation + rate",
    teachers: [original],
    async build(scope) {
      const { emit } = scope;
      const { value, feeds } = await imitationLoss.build(scope);
      const bits = steps.map((name) => bitsOf(emit, scope.value(name)));
      return { value: bits.reduce((sum, tensorBits) => emit.Add([sum, emit.Mul([tensorBits, lambda])]), value), feeds };
    },
  };
}

/**
 * Returns the code length of a tensor in steps, u = w / Δ. Its model is a probability p of zeros, and a sign and a geometric distribution of
 * other roundedMagnitudes, both fitted to the current values:
 *
 *     bits(0) = −log₂ p,     bits(q) = 1 − log₂ (1 − p) − log₂ (1 − θ) − (|q| − 1) log₂ θ
 *
 * Between integers the length is linear; the constant bits(0) is subtracted. The gradient treats p and θ as constants, because they
 * minimize the sum.
 */
export function bitsOf(emit: Emit, steps: Value): Value {
  const count = elementCount(fixedDims(steps.type?.dims) ?? []);
  const sum = (value: Value): Value => emit.ReduceSum([value], { keepdims: 0 });
  const absolute = emit.Abs([steps]);
  const first = emit.Min([absolute, 1]);
  const further = emit.Sub([absolute, first]);
  // A cast to integers passes no gradient.
  const roundedMagnitudes = emit.Cast([emit.Cast([emit.Add([absolute, 0.5])], { to: typeCodes.int32 })], {
    to: typeCodes.float32,
  });
  const nonzero = sum(emit.Min([roundedMagnitudes, 1]));
  const beyond = emit.Sub([sum(roundedMagnitudes), nonzero]);
  // Half an occurrence is added to each count, so that code lengths are finite.
  const addHalf = (value: Value): Value => emit.Add([value, 0.5]);
  const length = (part: Value, total: Value): Value => emit.Mul([emit.Log([emit.Div([total, part])]), 1 / Math.LN2]);
  const steppings = emit.Add([addHalf(nonzero), addHalf(beyond)]);
  const zeros = emit.Add([emit.Neg([nonzero]), count]);
  // bits(1) − bits(0)
  const entry = emit.Add([
    emit.Add([length(addHalf(nonzero), steppings), length(addHalf(nonzero), addHalf(zeros))]),
    1,
  ]);
  const slope = length(addHalf(beyond), steppings);
  return emit.Add([emit.Mul([emit.Max([entry, 0]), sum(first)]), emit.Mul([slope, sum(further)])]);
}
