/**
 * Buffers that only their numbers tell from parameters: nobody trains these, and exports store them where others store what is trained.
 *
 * - Masks that are added to scores hold 0 where they let through and −∞ (or what stands for it) where they do not.
 * - Sinusoidal positions hold sin ωt and cos ωt side by side, in halves or in turns (Vaswani et al. 2017), or in two tables (rotary
 *   positions, Su et al. 2021): squares of pairs add up to 1. Nothing that was trained does that in each of its entries; a permutation does,
 *   of which no number lies between 0 and 1.
 */
import type { Value } from "../graph/graph.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { sameDims } from "../tensor/dims.ts";

/** Added to a score, this much leaves nothing of it after a softmax: masks in half precision have −10,000. */
const shuts = -1e4;
/** What rounding to half precision leaves of sin² + cos². */
const tolerance = 4e-3;

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
