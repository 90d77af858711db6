/**
 * Folds a scale and a shift by stored vectors into the layer that reads them. For input channels c:
 *   W · (s ⊙ x + t) + b = (W · diag(s)) · x + (W · t + b)
 * A factor is exact with zero padding (s · 0 = 0), a shift is not. A shift goes into the layer's bias, or into the sum that follows a MatMul.
 */
import type { Inference, Layer } from "#analysis";
import { biasedOutput, checkWeight, layerAt, weightMatrices, weightNeeds, weightShape } from "#analysis";
import { type Dense, fromNumbers, inMemory, isUsed, Miss, type Model, type Node, toFloat64, type Value } from "#ir";
import type { Change } from "#pass";
import type { Affine } from "../../core/ops/entry.ts";
import { stored } from "../edit/mask.ts";
import { createStoredReader } from "../edit/stored-values.ts";
import { isChannelVector, removeIfUnused, scaleChannels, storeBias } from "./affine-weights.ts";
import { cleanUpChange } from "./clean-up.ts";

interface Scope {
  readonly inference: Inference;
  readonly isProtected: (value: Value) => boolean;
  readonly canChange: (layer: Layer) => boolean;
}

interface Match {
  readonly layer: Layer;
  readonly affine: Affine;
  readonly x: Value;
  readonly vectors: readonly Value[];
}

/** Returns undefined if folding is not possible or would enlarge the file. */
export async function foldIntoReader(model: Model, node: Node, scope: Scope): Promise<Change | undefined> {
  const match = matchReader(node, scope);
  if (match === undefined) return undefined;
  const { layer, affine, x, vectors } = match;
  const numbers = await Promise.all(vectors.map(async (value) => toFloat64(await stored(value).read())));
  const { scale, shift } = affine.of(numbers);
  if (![...scale, ...shift].every(Number.isFinite)) return undefined;
  const dense = await stored(layer.weight).read();
  const weight = scaleChannels(dense, layer.role, scale, "inputs");
  if (weight === undefined) return undefined;
  if (shift.some((number) => number !== 0)) {
    const write = await prepareShift(model, match, shift, scope);
    if (write === undefined) return undefined;
    write();
  }
  layer.weight.tensor = inMemory(weight);
  model.graph.setInput(layer.node, layer.role.data, x);
  model.graph.removeNode(node);
  for (const value of vectors) removeIfUnused(value);
  return cleanUpChange(layer.name, "scale or shift of the input merged into the weights of the layer");
}

function matchReader(node: Node, { inference, isProtected, canChange }: Scope): Match | undefined {
  const affine = inference.facet(node, "affine");
  const [output, ...otherOutputs] = node.outputs;
  const [use] = output?.uses ?? [];
  const x = affine && node.inputs[affine.dataInput];
  if (affine === undefined || output === undefined || use === undefined || x === undefined) return undefined;
  if (isImage(x, node)) return undefined;
  if (output.uses.size > 1 || node.graph.isOutput(output) || use.node.graph !== node.graph) return undefined;
  if (otherOutputs.some((other) => other !== undefined && isUsed(other))) return undefined;
  const layer = layerAt(use.node, inference);
  if (layer instanceof Miss || layer.role.data !== use.input || !canChange(layer)) return undefined;
  if (checkWeight(layer, weightNeeds.fuse) !== undefined) return undefined;
  const { dataAxis } = layer.role;
  const rank = inference.operand(output)?.dims?.length;
  if (affine.axis !== undefined && affine.axis !== (dataAxis < 0 && rank !== undefined ? dataAxis + rank : dataAxis))
    return undefined;
  const vectors = affine.inputs.flatMap((input) => node.inputs[input] ?? []);
  const changedValues = [output, layer.weight, layer.effective, layer.bias, ...vectors];
  if (changedValues.some((value) => value?.role !== undefined || (value !== undefined && isProtected(value))))
    return undefined;
  if (vectors.length < affine.inputs.length || vectors.some(({ tensor }) => tensor === undefined)) return undefined;
  return { layer, affine, x, vectors };
}

/** Returns whether a value is an input image. The scale after it shows the range from which random inputs are drawn (`required-intervals.ts`). */
function isImage(value: Value, { graph }: Node): boolean {
  const dims = value.type?.dims;
  if (dims?.length !== 4 || !graph.feeds.includes(value)) return false;
  return [dims[1], dims[3]].some((channels) => channels === 1 || channels === 3);
}

/** Computes the layer's output for the shift alone. Returns a function that adds it to a bias; undefined if no bias can take it. */
async function prepareShift(
  model: Model,
  { layer, vectors }: Match,
  shift: Float64Array,
  { inference, isProtected }: Scope,
): Promise<(() => void) | undefined> {
  const { role, bias, node, outputs, effective } = layer;
  const read = createStoredReader(effective);
  if (read === undefined || role.readsZeros === true || role.outTaps !== undefined) return undefined;
  const sum = role.biasInput === undefined ? biasedOutput(layer, inference)?.bias : undefined;
  const oldBias = role.biasInput === undefined ? sum?.vector : node.inputs[role.biasInput];
  // A layer without a bias input needs a following Add with a vector of its own.
  if (role.biasInput === undefined && (sum === undefined || sum.vector.uses.size > 1 || role.bias !== undefined))
    return undefined;
  if (role.biasInput !== undefined && oldBias !== bias) return undefined;
  if (oldBias !== undefined && (oldBias.role !== undefined || oldBias.tensor === undefined || isProtected(oldBias)))
    return undefined;
  const oldDense = await oldBias?.tensor?.read();
  if (oldDense !== undefined && oldDense.type !== "float32") return undefined;
  const isNew = oldDense === undefined || bias?.uses.size !== 1;
  if (sum === undefined && isNew && !savesBytes(vectors, outputs)) return undefined;
  const product = multiply(await read(), layer, shift);
  if (sum !== undefined) {
    if (oldDense === undefined || oldDense.data.length !== outputs) return undefined;
    const newBias = toFloat64(oldDense).map((number, channel) => number + (product[channel] ?? 0));
    if (!fitsFloat32(newBias)) return undefined;
    return () => {
      sum.vector.tensor = inMemory(fromNumbers("float32", oldDense.dims, newBias));
    };
  }
  if (oldDense !== undefined && oldDense.data.length !== 1 && !isChannelVector(oldDense.dims, outputs))
    return undefined;
  const numbers = oldDense === undefined ? new Float64Array(1) : toFloat64(oldDense);
  const newBias = product.map((number, channel) => number + (numbers[numbers.length === 1 ? 0 : channel] ?? 0));
  if (!fitsFloat32(newBias)) return undefined;
  return () => {
    model.graph.setInput(node, role.biasInput ?? 0, storeBias(model, layer, newBias));
    if (bias !== undefined) removeIfUnused(bias);
  };
}

/** Bytes of the shortest node with its names. */
const nodeBytes = 32;

function savesBytes(vectors: readonly Value[], outputs: number): boolean {
  const removedVectors = vectors.filter(({ uses }) => uses.size === 1);
  return 4 * outputs <= nodeBytes + removedVectors.reduce((bytes, { tensor }) => bytes + (tensor?.bytes ?? 0), 0);
}

const fitsFloat32 = (numbers: Float64Array): boolean => numbers.every((number) => Number.isFinite(Math.fround(number)));

/** Computes W · t for a shift t per input channel, or a single shift. */
function multiply(dense: Dense, { role }: Layer, shift: Float64Array): Float64Array {
  const { inputs, outputs, taps } = weightShape(role, dense.dims);
  const factor = role.productFactor ?? 1;
  const matrices = weightMatrices(role, dense.dims, toFloat64(dense));
  const sums = new Float64Array(matrices.length * outputs);
  for (const [group, { data }] of matrices.entries())
    for (const [index, element] of data.entries()) {
      const row = Math.floor(index / (inputs * taps));
      const channel = group * inputs + Math.floor((index % (inputs * taps)) / taps);
      const position = group * outputs + row;
      sums[position] = (sums[position] ?? 0) + factor * element * (shift[shift.length === 1 ? 0 : channel] ?? 0);
    }
  return sums;
}
