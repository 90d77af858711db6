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
import { partsOf } from "../tensor/part.ts";
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

/** Those stored tensors whose numbers are a mask's or sinusoids. Of most weights the first numbers show that they are neither, and no others are read. */
export async function buffersAmong(values: Iterable<Value>): Promise<ReadonlySet<Value>> {
  const found = new Set<Value>();
  const waves: { readonly value: Value; readonly tensor: Tensor; readonly start: Float64Array }[] = [];
  for (const value of values) {
    const { tensor } = value;
    if (tensor === undefined || !isFloat(tensor.type) || tensor.dims.filter((size) => size > 1).length < 2) continue;
    const seen = new Seen(tensor.dims.at(-1) ?? 1);
    let start: Float64Array | undefined;
    for await (const part of partsOf(tensor)) {
      start ??= part.slice(0, fewNumbers);
      seen.add(part);
      if (!seen.isOpen) break;
    }
    if (seen.isOpen && (seen.isMask || seen.isSinusoids)) found.add(value);
    if (start === undefined || !seen.isWithinOne) continue;
    for (const other of waves) {
      if (!sameDims(other.tensor.dims, tensor.dims) || !start.every((x, at) => onCircle(x, other.start[at] ?? 0)))
        continue;
      if (await areWaves(tensor, other.tensor)) found.add(value).add(other.value);
    }
    waves.push({ value, tensor, start });
  }
  return found;
}

/** Kept of each table that may be half of a pair. */
const fewNumbers = 64;

/** What the numbers seen so far, whole rows, allow a tensor to be. */
class Seen {
  readonly #columns: number;
  #zerosOrShut = true;
  #shuts = false;
  #withinOne = true;
  #reachesOne = false;
  #between = false;
  /** Whether pairs lie in halves of a row, or side by side. */
  #halves: boolean;
  #turns: boolean;

  constructor(columns: number) {
    this.#columns = columns;
    this.#halves = this.#turns = columns % 2 === 0;
  }

  add(numbers: Float64Array): void {
    const [columns, half] = [this.#columns, this.#columns / 2];
    const pairs = (partner: (column: number) => number): boolean =>
      numbers.every((x, at) => onCircle(x, numbers[at - (at % columns) + partner(at % columns)] ?? 0));
    this.#zerosOrShut &&= numbers.every((x) => x === 0 || x <= shuts);
    this.#shuts ||= numbers.some((x) => x <= shuts);
    this.#withinOne &&= numbers.every((x) => Math.abs(x) <= 1 + tolerance);
    this.#reachesOne ||= numbers.some(isOne);
    this.#between ||= numbers.some((x) => x !== 0 && !isOne(x));
    this.#halves &&= pairs((column) => (column + half) % columns);
    this.#turns &&= pairs((column) => column ^ 1);
  }

  get isOpen(): boolean {
    return this.#zerosOrShut || (this.#withinOne && (this.#halves || this.#turns));
  }

  get isMask(): boolean {
    return this.#zerosOrShut && this.#shuts;
  }

  get isWithinOne(): boolean {
    return this.#withinOne;
  }

  /** Sines or cosines of positions: at most 1, which the cosines of the first position are, and others not. */
  get isWave(): boolean {
    return this.#withinOne && this.#reachesOne && this.#between;
  }

  get isSinusoids(): boolean {
    return this.isWave && (this.#halves || this.#turns);
  }
}

/** Whether two tables hold the sines and the cosines of the same positions. */
async function areWaves(a: Tensor, b: Tensor): Promise<boolean> {
  const [one, other] = [toFloat64(await a.read()), toFloat64(await b.read())];
  const isWave = (numbers: Float64Array): boolean => {
    const seen = new Seen(1);
    seen.add(numbers);
    return seen.isWave;
  };
  return one.every((x, at) => onCircle(x, other[at] ?? 0)) && isWave(one) && isWave(other);
}

const isOne = (x: number): boolean => Math.abs(x) > 1 - tolerance;

function onCircle(a: number, b: number): boolean {
  return Math.abs(a * a + b * b - 1) < tolerance;
}
