/**
 * Recognizes untrained tables by their elements, so that they are not counted or changed as weights:
 * - Attention masks contain 0, and −∞ or a large negative number for hidden keys.
 * - Sinusoidal positions contain sin ωt and cos ωt (Vaswani et al. 2017; rotary: Su et al. 2021), whose squares sum to 1.
 */
import { elementCount, isFloat, partsOf, sameDims, type Tensor, toFloat64, type Value } from "#graph";
import type { Layer } from "./layers.ts";

/** Attention scores up to this value vanish in a softmax. Float16 masks contain −10,000. */
const hiddenScore = -1e4;
/** The allowed error of sin² + cos², above the float16 rounding error. */
const tolerance = 4e-3;
/** The maximum size in bytes of a tensor that `smallBuffersAmong` tests. */
const maxBytes = 2 ** 24;

/** Returns the small embedding tables without a role that are untrained sinusoids or masks. */
export const findBuffers = (layers: readonly Layer[]): Promise<ReadonlySet<Value>> =>
  smallBuffersAmong(new Set(layers.flatMap(({ role, weight }) => (role.kind === "lookup" ? [weight] : []))));

export const smallBuffersAmong = (values: Iterable<Value>): Promise<ReadonlySet<Value>> =>
  buffersAmong([...values].filter(({ role, tensor }) => role === undefined && (tensor?.bytes ?? 0) <= maxBytes));

/** Returns the stored tensors that are masks or sinusoids. */
export async function buffersAmong(values: Iterable<Value>): Promise<ReadonlySet<Value>> {
  const buffers = new Set<Value>();
  const waveCandidates: { readonly value: Value; readonly tensor: Tensor; readonly start: Float64Array }[] = [];
  for (const value of values) {
    const { tensor } = value;
    if (tensor === undefined || !isFloat(tensor.type) || tensor.dims.filter((size) => size > 1).length < 2) continue;
    const properties = new TableProperties(tensor.dims.at(-1) ?? 1);
    let start: Float64Array | undefined;
    let unread = elementCount(tensor.dims);
    for await (const { numbers } of partsOf(tensor)) {
      start ??= numbers.slice(0, startCount);
      properties.add(numbers);
      unread -= numbers.length;
      if (!properties.isUndecided) break;
    }
    if (properties.isUndecided && (properties.isMask || properties.isSinusoids)) buffers.add(value);
    if (start === undefined || !(unread > 0 ? properties.isWithinOne : properties.isWave)) continue;
    for (const other of waveCandidates) {
      if (
        !sameDims(other.tensor.dims, tensor.dims) ||
        !start.every((x, index) => isOnCircle(x, other.start[index] ?? 0))
      )
        continue;
      if (await areSinesAndCosines(tensor, other.tensor)) buffers.add(value).add(other.value);
    }
    waveCandidates.push({ value, tensor, start });
  }
  return buffers;
}

/** The number of elements of two tables that are compared before the complete tables are read. */
const startCount = 64;

/** Collects the properties that show whether a tensor is a mask or a table of sinusoids. */
class TableProperties {
  readonly #columns: number;
  #isZeroOrHidden = true;
  #hasHidden = false;
  #isWithinOne = true;
  #hasOne = false;
  #hasBetween = false;
  /** Whether the sine-cosine pairs can be the two halves of a row. */
  #hasHalves: boolean;
  /** Whether the sine-cosine pairs can be adjacent elements. */
  #hasAdjacentPairs: boolean;

  constructor(columns: number) {
    this.#columns = columns;
    this.#hasHalves = this.#hasAdjacentPairs = columns % 2 === 0;
  }

  add(numbers: Float64Array): void {
    const [columns, half] = [this.#columns, this.#columns / 2];
    const arePaired = (partner: (column: number) => number): boolean =>
      numbers.every((x, index) => isOnCircle(x, numbers[index - (index % columns) + partner(index % columns)] ?? 0));
    this.#isZeroOrHidden &&= numbers.every((x) => x === 0 || x <= hiddenScore);
    this.#hasHidden ||= numbers.some((x) => x <= hiddenScore);
    this.#isWithinOne &&= numbers.every((x) => Math.abs(x) <= 1 + tolerance);
    this.#hasOne ||= numbers.some(isOne);
    this.#hasBetween ||= numbers.some((x) => x !== 0 && !isOne(x));
    this.#hasHalves &&= arePaired((column) => (column + half) % columns);
    this.#hasAdjacentPairs &&= arePaired((column) => column ^ 1);
  }

  get isUndecided(): boolean {
    return this.#isZeroOrHidden || (this.#isWithinOne && (this.#hasHalves || this.#hasAdjacentPairs));
  }

  get isMask(): boolean {
    return this.#isZeroOrHidden && this.#hasHidden;
  }

  get isWithinOne(): boolean {
    return this.#isWithinOne;
  }

  /** Whether the elements can be sines or cosines: magnitudes of at most 1, one of 1, and some between 0 and 1. */
  get isWave(): boolean {
    return this.#isWithinOne && this.#hasOne && this.#hasBetween;
  }

  get isSinusoids(): boolean {
    return this.isWave && (this.#hasHalves || this.#hasAdjacentPairs);
  }
}

/** Returns whether the squares of two tables sum to 1, element by element. */
async function areSinesAndCosines(a: Tensor, b: Tensor): Promise<boolean> {
  const [first, second] = [toFloat64(await a.read()), toFloat64(await b.read())];
  const isWave = (numbers: Float64Array): boolean => {
    const properties = new TableProperties(1);
    properties.add(numbers);
    return properties.isWave;
  };
  return first.every((x, index) => isOnCircle(x, second[index] ?? 0)) && isWave(first) && isWave(second);
}

const isOne = (x: number): boolean => Math.abs(x) > 1 - tolerance;

function isOnCircle(a: number, b: number): boolean {
  return Math.abs(a * a + b * b - 1) < tolerance;
}
