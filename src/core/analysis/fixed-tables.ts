/**
 * Recognizes untrained tables by their elements.
 * - Attention masks hold 0, and −∞ (or a large negative number) for hidden keys.
 * - Sinusoidal positions hold sin ωt and cos ωt in halves or alternating (Vaswani et al. 2017), or in two tables (rotary, Su et al. 2021):
 *   squares of pairs sum to 1 in every entry, and, unlike in a permutation, elements lie between 0 and 1.
 */
import type { Value } from "../graph/graph.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { sameDims } from "../tensor/dims.ts";
import { partsOf } from "../tensor/part.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Layer } from "./layers.ts";

/** Scores this low vanish in a softmax: float16 masks have −10,000. */
const hiddenScore = -1e4;
/** The float16 rounding error of sin² + cos². */
const tolerance = 4e-3;

const maxBytes = 2 ** 24;

export const fixedTables = (layers: readonly Layer[]): Promise<ReadonlySet<Value>> =>
  smallBuffersAmong(new Set(layers.flatMap(({ role, weight }) => (role.kind === "lookup" ? [weight] : []))));

export const smallBuffersAmong = (values: Iterable<Value>): Promise<ReadonlySet<Value>> =>
  buffersAmong([...values].filter(({ role, tensor }) => role === undefined && (tensor?.bytes ?? 0) <= maxBytes));

/** Returns stored tensors that are masks or sinusoids. The first elements exclude most weights, so these are not read further. */
export async function buffersAmong(values: Iterable<Value>): Promise<ReadonlySet<Value>> {
  const buffers = new Set<Value>();
  const waves: { readonly value: Value; readonly tensor: Tensor; readonly start: Float64Array }[] = [];
  for (const value of values) {
    const { tensor } = value;
    if (tensor === undefined || !isFloat(tensor.type) || tensor.dims.filter((size) => size > 1).length < 2) continue;
    const seen = new TableProperties(tensor.dims.at(-1) ?? 1);
    let start: Float64Array | undefined;
    for await (const { numbers } of partsOf(tensor)) {
      start ??= numbers.slice(0, startCount);
      seen.add(numbers);
      if (!seen.isOpen) break;
    }
    if (seen.isOpen && (seen.isMask || seen.isSinusoids)) buffers.add(value);
    if (start === undefined || !seen.isWithinOne) continue;
    for (const other of waves) {
      if (!sameDims(other.tensor.dims, tensor.dims) || !start.every((x, index) => onCircle(x, other.start[index] ?? 0)))
        continue;
      if (await areWaves(tensor, other.tensor)) buffers.add(value).add(other.value);
    }
    waves.push({ value, tensor, start });
  }
  return buffers;
}

const startCount = 64;

/** Properties of the complete rows read so far, which decide whether a tensor is a mask or a table of sinusoids. */
class TableProperties {
  readonly #columns: number;
  #zerosOrShut = true;
  #shuts = false;
  #withinOne = true;
  #reachesOne = false;
  #between = false;
  /** Whether pairs are halves of a row, or adjacent. */
  #halves: boolean;
  #turns: boolean;

  constructor(columns: number) {
    this.#columns = columns;
    this.#halves = this.#turns = columns % 2 === 0;
  }

  add(numbers: Float64Array): void {
    const [columns, half] = [this.#columns, this.#columns / 2];
    const pairs = (partner: (column: number) => number): boolean =>
      numbers.every((x, index) => onCircle(x, numbers[index - (index % columns) + partner(index % columns)] ?? 0));
    this.#zerosOrShut &&= numbers.every((x) => x === 0 || x <= hiddenScore);
    this.#shuts ||= numbers.some((x) => x <= hiddenScore);
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

  /** Sines or cosines of positions: at most 1, reached by the cosines of position 0, with elements in between. */
  get isWave(): boolean {
    return this.#withinOne && this.#reachesOne && this.#between;
  }

  get isSinusoids(): boolean {
    return this.isWave && (this.#halves || this.#turns);
  }
}

/** Returns whether two tables hold sines and cosines of the same positions. */
async function areWaves(a: Tensor, b: Tensor): Promise<boolean> {
  const [first, second] = [toFloat64(await a.read()), toFloat64(await b.read())];
  const isWave = (numbers: Float64Array): boolean => {
    const seen = new TableProperties(1);
    seen.add(numbers);
    return seen.isWave;
  };
  return first.every((x, index) => onCircle(x, second[index] ?? 0)) && isWave(first) && isWave(second);
}

const isOne = (x: number): boolean => Math.abs(x) > 1 - tolerance;

function onCircle(a: number, b: number): boolean {
  return Math.abs(a * a + b * b - 1) < tolerance;
}
