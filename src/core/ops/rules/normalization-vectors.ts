/**
 * A rule that merges a product or sum with a stored vector into the scale γ and bias β of the normalization before it:
 *     s · (γ · x̂ + β) + t = (s · γ) · x̂ + (s · β + t)
 * The new vectors are computed in float64 and rounded once.
 */
import { type DataType, type Emit, isFloat, sameDims, type Value } from "#graph";
import type { Site } from "../define.ts";
import { readFlag, readInteger } from "../shared/attributes.ts";
import { type Linear, linearOf } from "./arithmetic.ts";
import {
  combineNumbers,
  isModerate,
  keepsSize,
  largestOf,
  maxCancellation,
  type Numbers,
  numbersOf,
  roundNumbers,
} from "./constants.ts";
import { dimsOf, emitNamed, type Pair, type PairScope, replaceBy } from "./rule.ts";

interface Normalization {
  write(emit: Emit, inputs: readonly (Value | undefined)[], site: Site): Value;
  /** The axis along which scale and bias apply; undefined if they align with the last axes. */
  readonly axis?: number;
  /** Returns whether scale and bias have one element per channel and the node is not in training mode. */
  supports(site: Site): boolean;
}

const always = (): boolean => true;

const normalizations: Readonly<Record<string, Normalization>> = {
  LayerNormalization: { write: (emit, inputs) => emit.LayerNormalization(inputs), supports: always },
  RMSNormalization: { write: (emit, inputs) => emit.RMSNormalization(inputs), supports: always },
  InstanceNormalization: { write: (emit, inputs) => emit.InstanceNormalization(inputs), axis: 1, supports: always },
  GroupNormalization: {
    write: (emit, inputs, site) => emit.GroupNormalization(inputs, { num_groups: readInteger(site, "num_groups", 1) }),
    axis: 1,
    // Scale and bias are per group before opset 21.
    supports: ({ version }) => version >= 21,
  },
  BatchNormalization: {
    write: (emit, inputs) => emit.BatchNormalization(inputs),
    axis: 1,
    // Before opset 9, parameters can be per element.
    supports: (site) => site.version >= 9 && site.outputs === 1 && !readFlag(site, "training_mode"),
  },
};

/** Returns a vector with the axes of a normalization's scale; undefined if the vector has other axes longer than 1. */
function alignNumbers({ dims, values }: Numbers, rank: number, axis: number | undefined): Numbers | undefined {
  if (dims.length > rank) return undefined;
  const missingAxes = rank - dims.length;
  const longAxes = dims.flatMap((dim, index) => (dim === 1 ? [] : [index + missingAxes]));
  if (axis === undefined) return { dims: dims.slice((longAxes[0] ?? rank) - missingAxes), values };
  if (longAxes.some((index) => index !== axis)) return undefined;
  return { dims: longAxes.length === 0 ? [] : [values.length], values };
}

interface Vectors {
  readonly scale: Numbers;
  readonly bias: Numbers | undefined;
}

function mergeVectors({ scale, bias }: Vectors, vector: Numbers, linear: Linear): Vectors | undefined {
  if (!vector.values.every((c) => isModerate(linear.scale(c)))) return undefined;
  const newScale = combineNumbers(scale, vector, (number, c) => number * linear.scale(c));
  if (newScale === undefined || !sameDims(newScale.dims, scale.dims)) return undefined;
  const hasShift = vector.values.some((c) => linear.shift(c) !== 0);
  if (bias === undefined && !hasShift) return { scale: newScale, bias };
  const oldBias = bias ?? { dims: scale.dims, values: scale.values.map(() => 0) };
  const newBias = combineNumbers(oldBias, vector, (number, c) => number * linear.scale(c) + linear.shift(c));
  const scaledBias = combineNumbers(oldBias, vector, (number, c) => number * linear.scale(c));
  if (newBias === undefined || scaledBias === undefined || !sameDims(newBias.dims, scale.dims)) return undefined;
  const shift = vector.values.reduce((largest, c) => Math.max(largest, Math.abs(linear.shift(c))), 0);
  const hasCancellation =
    Math.max(largestOf(scaledBias), shift) > maxCancellation * Math.max(largestOf(newScale), largestOf(newBias));
  return hasCancellation ? undefined : { scale: newScale, bias: newBias };
}

/** Returns a stored value with the given numbers: `before` if its numbers (`earlier`) are equal, or a new constant. */
function store({ emit }: PairScope, type: DataType, numbers: Numbers, before: Value | undefined, earlier?: Numbers) {
  if (before !== undefined && isEqual(numbers, earlier)) return before;
  const dense = roundNumbers(numbers, type);
  return dense && emit.constant(dense, before?.name);
}

function readVectors({ first, firstSite, canChange }: PairScope): Vectors | undefined {
  const [scale, bias] = [numbersOf(firstSite.inputs[1]), numbersOf(firstSite.inputs[2])];
  if (scale === undefined || (bias === undefined && first.inputs[2] !== undefined)) return undefined;
  if (bias !== undefined && !sameDims(bias.dims, scale.dims)) return undefined;
  if (first.inputs.slice(1).some((value) => value !== undefined && !canChange(value))) return undefined;
  return { scale, bias };
}

const normalizationVectors: Pair = {
  id: "normalization-vectors",
  description: "a stored vector after a normalization goes into its scale or bias",
  first: Object.keys(normalizations),
  second: ["Mul", "Div", "Add", "Sub"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader, canChange } = scope;
    const normalization = normalizations[first.op];
    const linear = linearOf(second, secondSite);
    const type = firstSite.inputs[1]?.type;
    const rank = dimsOf(scope, first.inputs[0])?.length;
    if (!isOnlyReader || normalization === undefined || linear?.data !== input || rank === undefined) return undefined;
    if (first.outputs.slice(1).some((output) => output !== undefined) || !normalization.supports(firstSite))
      return undefined;
    if (type === undefined || !isFloat(type) || type !== secondSite.inputs[input]?.type) return undefined;
    if (linear.constant === undefined || !canChange(linear.constant)) return undefined;
    const vectors = readVectors(scope);
    const vector = alignNumbers(linear.numbers, rank, normalization.axis);
    const mergedVectors = vectors && vector && mergeVectors(vectors, vector, linear);
    if (vectors === undefined || mergedVectors === undefined) return undefined;
    if (mergedVectors.bias !== undefined && first.op === "RMSNormalization") return undefined;
    const changedVectors = [
      ...(isEqual(mergedVectors.scale, vectors.scale) ? [] : [mergedVectors.scale]),
      ...(mergedVectors.bias === undefined || isEqual(mergedVectors.bias, vectors.bias) ? [] : [mergedVectors.bias]),
    ];
    if (!keepsSize(changedVectors, [...first.inputs.slice(1, 3), linear.constant])) return undefined;
    const scale = store(scope, type, mergedVectors.scale, first.inputs[1], vectors.scale);
    const bias = mergedVectors.bias && store(scope, type, mergedVectors.bias, first.inputs[2], vectors.bias);
    if (scale === undefined || (mergedVectors.bias !== undefined && bias === undefined)) return undefined;
    const inputs = [first.inputs[0], scale, bias, ...first.inputs.slice(3)];
    return replaceBy(normalization.write(emitNamed(scope), inputs, firstSite), first);
  },
};

const isEqual = (a: Numbers, b: Numbers | undefined): boolean =>
  b !== undefined && a.values.every((value, index) => value === b.values[index]);

export const normalizationVectorPairs: readonly Pair[] = [normalizationVectors];
