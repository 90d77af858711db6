/**
 * Stored numbers that were not trained, where exports store what is trained.
 *
 * - A tensor of one number throughout, as the weight of a layer with one output (a group), adds up or averages what it multiplies, as the sum of
 *   squares of a normalization or a blur do. Zeros are what pruning leaves, and vectors of ones or zeros are scales and biases that have
 *   learnt nothing yet: these are learned weights as any other.
 * - Normalizations have a scale of ones and a shift of zeros, because the operator asks for them, where the network's own follow:
 *   GroupNorm(x) → Reshape → InstanceNormalization(1, 0) → Reshape → Mul(weight) → Add(bias).
 * - Masks that are added to scores hold 0 where they let through and −∞ (or what stands for it) where they do not.
 * - Sinusoidal positions hold sin ωt and cos ωt side by side, in halves or in turns (Vaswani et al. 2017), or in two tables (rotary
 *   positions, Su et al. 2021): squares of pairs add up to 1. Nothing that was trained does that in each of its entries; a permutation does,
 *   of which no number lies between 0 and 1.
 */

import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound, WeightRole } from "../ops/index.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { elementCount, fixedDims, sameDims } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";
import { weightShape } from "./weight.ts";

/** The number that every element of a small tensor of floats is; undefined where they differ, or are not at hand. */
export function uniformElement(tensor: Tensor | undefined): number | undefined {
  const small = tensor?.small;
  if (small === undefined || !isFloat(small.type)) return undefined;
  const numbers = toFloat64(small);
  const [first] = numbers;
  return first !== undefined && numbers.every((entry) => entry === first) ? first : undefined;
}

/**
 * Whether the stored weight of a layer, by its numbers, is a constant that was not trained. What has a role is believed.
 * @example
 * const learned = layers(model, infer(model)).filter((layer) => !isConstantWeight(layer));
 */
export function isConstantWeight(layer: {
  readonly node: Node;
  readonly role: WeightRole;
  readonly weight: Value;
}): boolean {
  const { node, role, weight } = layer;
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  // One number for each output is a scale.
  const isScale = elementCount(dims) === dims[role.out];
  if (weight.role !== undefined || weightShape(role, dims).outputs !== 1 || isScale) return false;
  return (uniformElement(weight.tensor) ?? 0) !== 0;
}

/** Whether a node's own scale and shift are 1 and 0 throughout, and a stored scale follows, behind what only rearranges. */
export function isUnitNormalization(node: Node, bound: Bound, inference: Inference): boolean {
  const parameters = bound.parameters();
  const scales = bound.scales().filter((input) => parameters.includes(input));
  if (scales.length === 0 || !(bound.weights() instanceof Miss)) return false;
  const isUnit = parameters.every((input) => {
    const value = node.inputs[input];
    const expected = scales.includes(input) ? 1 : 0;
    return value?.role === undefined && uniformElement(value?.tensor) === expected;
  });
  return isUnit && isScaledBelow(node.outputs[0], inference);
}

function isScaledBelow(value: Value | undefined, inference: Inference): boolean {
  const [use, ...more] = value?.uses ?? [];
  const bound = use === undefined ? undefined : inference.at(use.node);
  if (use === undefined || more.length > 0 || bound === undefined || bound instanceof Miss) return false;
  const affine = bound.affine();
  if (!(affine instanceof Miss) && affine.kind === "arithmetic")
    return affine.inputs.some((input) => bound.scales().includes(input) && bound.parameters().includes(input));
  const rule = bound.quantize();
  const isMoved = !(rule instanceof Miss) && rule.kind === "transparent" && use.input === 0;
  return isMoved && isScaledBelow(use.node.outputs[0], inference);
}

/** Added to a score, this much leaves nothing of it after a softmax: masks in half precision have −10,000. */
const shuts = -1e4;
/** What rounding to half precision leaves of sin² + cos². */
const tolerance = 4e-3;

/** Masks and tables of positions have fewer bytes; a larger tensor is not read. */
const mostRead = 2 ** 24;

/** The tables among some layers that hold sinusoids. */
export const fixedTables = (layers: readonly Layer[]): Promise<ReadonlySet<Value>> =>
  smallBuffersAmong(new Set(layers.flatMap(({ role, weight }) => (role.kind === "lookup" ? [weight] : []))));

/** Those without a role and below that size. */
export const smallBuffersAmong = (values: Iterable<Value>): Promise<ReadonlySet<Value>> =>
  buffersAmong([...values].filter(({ role, tensor }) => role === undefined && (tensor?.bytes ?? 0) <= mostRead));

/** Those stored tensors whose numbers are a mask's or sinusoids. Reads every tensor of two and more axes. */
export async function buffersAmong(values: Iterable<Value>): Promise<ReadonlySet<Value>> {
  const found = new Set<Value>();
  const waves: { readonly value: Value; readonly dims: readonly number[]; readonly numbers: Float64Array }[] = [];
  for (const value of values) {
    const { tensor } = value;
    if (tensor === undefined || !isFloat(tensor.type) || tensor.dims.filter((size) => size > 1).length < 2) continue;
    const numbers = toFloat64(await tensor.read());
    if (isMask(numbers)) found.add(value);
    if (!isWithinOne(numbers)) continue;
    if (isSinusoids(numbers, tensor.dims.at(-1) ?? 1)) found.add(value);
    for (const other of waves) {
      if (!sameDims(other.dims, tensor.dims) || !numbers.every((x, at) => onCircle(x, other.numbers[at] ?? 0)))
        continue;
      found.add(value).add(other.value);
    }
    waves.push({ value, dims: tensor.dims, numbers });
  }
  return found;
}

function isMask(numbers: Float64Array): boolean {
  return numbers.some((x) => x <= shuts) && numbers.every((x) => x === 0 || x <= shuts);
}

/** Sines and cosines of positions: at most 1, which the cosines of the first position are, and others not. */
function isWithinOne(numbers: Float64Array): boolean {
  const isOne = (x: number): boolean => Math.abs(x) > 1 - tolerance;
  return (
    numbers.some(isOne) &&
    numbers.some((x) => x !== 0 && !isOne(x)) &&
    numbers.every((x) => Math.abs(x) <= 1 + tolerance)
  );
}

function isSinusoids(numbers: Float64Array, columns: number): boolean {
  const half = columns / 2;
  if (!Number.isInteger(half)) return false;
  const pairs = (partner: (column: number) => number): boolean =>
    numbers.every((x, at) => onCircle(x, numbers[at - (at % columns) + partner(at % columns)] ?? 0));
  return pairs((column) => (column + half) % columns) || pairs((column) => column ^ 1);
}

function onCircle(a: number, b: number): boolean {
  return Math.abs(a * a + b * b - 1) < tolerance;
}
