/**
 * Distance of one output of a changed model from the original's on the same inputs, and whether the output is lost.
 *
 * It is lost if it explains less than half of the original's variance: Σ (x − y)² ≥ ½ Σ (x − m)² for outputs x, y and the mean m of x over the
 * samples (3 dB). With too few samples for a mean, Σ (x − y)² ≥ ½ Σ x² applies. An output that the inputs do not move is lost only if the two are far
 * apart.
 */

import { figure } from "../../core/numbers.ts";
import { isFloat, toFloat64 } from "../../core/tensor/convert.ts";
import { dimsText, sameDims } from "../../core/tensor/dims.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { answers, knowledgeOf, lostKnowledge } from "../../runtime/metrics/predictions.ts";
import { Difference, decibels, variation } from "../../runtime/run/difference.ts";
import { fills } from "../../runtime/run/mask-values.ts";
import { minSamples, type Pair, samplesIn } from "../../runtime/run/paired-runs.ts";
import { Variety } from "./variety.ts";

/** The inputs hardly move the output, so equality shows little. */
type Unmoved = "equal" | "nearly equal" | "one class";

export interface OutputLikeness {
  readonly samples: number;
  /** In decibels: variation of the original's output over the samples, relative to the difference. */
  readonly signalToNoise: number;
  /** Root of the mean square difference, relative to that of the original. */
  readonly relativeError: number;
  /** Share of equal elements, for classes, indices or booleans, whose differences have no meaning. */
  readonly same?: number;
  readonly lost: string | undefined;
  /** It is lost because an output is missing, or has another type or shape. */
  readonly otherForm?: true;
  readonly unmoved?: Unmoved;
}

/** Minimum variation of an output that depends on its input, as a share of its power. */
const leastVariation = 1e-3;
/** Minimum change of a bounded output, as a share of its range. */
const leastChange = 0.01;
/** Noise below this share of the output's power counts as rounding. */
const rounding = 0.01;

/** Relative error that loses such an output. Real networks in int8, int4 and float16 differ by at most 12 %, with two values by 46 % and more. */
const farApart = 0.3;

/** Whether elements are quantities that may be rounded, and not texts, classes or positions. */
export function isNumbers({ type }: Dense): boolean {
  return isFloat(type) || type === "int8" || type === "uint8";
}

export const nothingCompared = { samples: 0, signalToNoise: Number.NaN, relativeError: Number.NaN };

export class OutputComparison {
  readonly name: string;
  readonly comparesValues: boolean;
  /** Positions or classes next to numeric outputs. They are lost only if other classes are named. */
  readonly isBeside: boolean;
  readonly #isOpen: boolean;
  readonly #isNumbers: boolean;
  readonly #room: number | undefined;
  readonly #powers = new Powers();
  readonly #variety = new Variety();
  readonly #named: [before: number[], after: number[]] = [[], []];
  readonly #inputs: string;
  #reason: string | undefined;
  #other: string | undefined;

  /**
   * @param inputs name of the inputs in messages: "random inputs", "samples".
   * @param beside whether other outputs are numeric.
   * @param isOpen whether its shape depends on the values of the inputs.
   * @param bounds of the saturating operator that computes it.
   */
  constructor(
    name: string,
    inputs: string,
    {
      isNumbers,
      beside,
      isOpen,
      bounds,
    }: {
      readonly isNumbers: boolean;
      readonly beside: boolean;
      readonly isOpen: boolean;
      readonly bounds?: readonly [low: number, high: number] | undefined;
    },
    comparesValues = true,
  ) {
    this.comparesValues = comparesValues;
    this.#room = bounds && bounds[1] - bounds[0];
    this.#isOpen = isOpen;
    this.#isNumbers = isNumbers;
    this.name = name;
    this.isBeside = beside && !isNumbers;
    this.#inputs = inputs;
  }

  add(pair: Pair): void {
    const { expected, got } = pair;
    const [x, y] = [expected[this.name], got[this.name]];
    if (x === undefined || this.#other !== undefined) return;
    if (y?.type !== x.type || y.dims.length !== x.dims.length || (!this.#isOpen && !sameDims(x.dims, y.dims))) {
      const [is, was] = [y, x].map((dense) => `${y?.type === x.type ? "" : dense?.type}${dimsText(dense?.dims)}`);
      this.#other = `output "${this.name}" is ${is} instead of ${was}`;
      return;
    }
    if (this.#reason !== undefined || !this.comparesValues) return;
    if (!sameDims(x.dims, y.dims)) {
      this.#reason = "the shape of its output depends on the values of its inputs";
      return;
    }
    if (x.type === "string" || y.type === "string") {
      this.#reason = "its output is text";
      return;
    }
    if (x.dims.includes(0)) {
      this.#reason = "its output has no elements";
      return;
    }
    this.#variety.add({ [this.name]: x });
    const values = toFloat64(x);
    const samples = samplesIn(x, pair);
    const sizes = { samples, last: x.dims.at(-1) ?? 1 };
    if (!this.#powers.add(values, toFloat64(y), sizes, fills(values, x.type))) {
      this.#reason = "the shape of its output depends on the values of its inputs";
      return;
    }
    const said = answers(this.name);
    const rows = { samples: { ...x, dims: [samples] } as Dense };
    for (const [which, outputs] of [expected, got].entries())
      this.#named[which]?.push(...said.rows(outputs, rows).filter((_, at) => at % 2 === 1));
  }

  get found(): OutputLikeness | string | undefined {
    const powers = this.#powers;
    const on = `on ${this.#inputs}`;
    if (this.#other !== undefined) return { ...nothingCompared, lost: `${on} ${this.#other}`, otherForm: true };
    if (!this.comparesValues) return undefined;
    if (this.#reason !== undefined) return this.#reason;
    if (powers.finite === 0) return `its output is not a number ${on}`;
    const [known, disagrees] = disagreement(this.#named);
    const unmoved = this.#variety.constant
      ? "equal"
      : powers.variation < leastVariation * powers.error.signal || this.isSaturated
        ? "nearly equal"
        : known?.chance === 1
          ? "one class"
          : undefined;
    return {
      samples: powers.samples,
      signalToNoise: powers.decibels,
      relativeError: Math.sqrt(powers.error.relativeNoise),
      ...(this.#isNumbers ? {} : { same: powers.equal / powers.finite }),
      lost: this.#lost(disagrees, unmoved),
      ...(unmoved === undefined ? {} : { unmoved }),
    };
  }

  get isSaturated(): boolean {
    const { samples, change } = this.#powers;
    return this.#room !== undefined && samples > 0 && change < leastChange * this.#room;
  }

  #lost(disagrees: string | undefined, unmoved: Unmoved | undefined): string | undefined {
    const { broken, error, variation, samples, decibels } = this.#powers;
    const { noise } = error;
    // Errors of a saturated output are relative to its range.
    const power = this.isSaturated ? (this.#room ?? 0) ** 2 * this.#powers.finite : error.signal;
    const on = `on ${this.#inputs}`;
    if (broken > 0) return `${on} the result is not a number where the original is`;
    if (noise === 0) return undefined;
    const apart = `the result is ${(100 * Math.sqrt(noise / power)).toFixed(0)} % apart from`;
    if (samples < minSamples)
      return this.isBeside || !this.#isNumbers || noise < power / 2 ? undefined : `${on} ${apart} the original`;
    if (unmoved !== undefined) {
      if (this.isBeside || !this.#isNumbers || noise < farApart ** 2 * power) return undefined;
      return `${on}, which hardly move the original, ${apart} it`;
    }
    if (noise < variation / 2) return undefined;
    const found = `${on} the signal to noise is ${figure("dB", decibels)}, at least 3 dB are required`;
    if (disagrees !== undefined) return this.#isNumbers ? `${found}; ${disagrees}` : `${on} ${disagrees}`;
    if (this.isBeside || noise < rounding * power) return undefined;
    return noise < variation ? found : `${found}; a constant would be as close to the original`;
  }
}

function disagreement([before, after]: readonly [number[], number[]]): readonly [
  known: ReturnType<typeof knowledgeOf>,
  disagrees: string | undefined,
] {
  const none = new Float64Array(before.length).fill(-1);
  const known = knowledgeOf({ given: Float64Array.from(before), labels: none });
  return [known, known && lostKnowledge(known, { given: Float64Array.from(after), labels: none })];
}

/** Sums over samples, without fills and values that are not finite in the original. */
class Powers {
  samples = 0;
  finite = 0;
  equal = 0;
  broken = 0;
  readonly error = new Difference();
  #sums: Float64Array | undefined;
  #counts: Float64Array | undefined;
  #least = new Float64Array();
  #most = new Float64Array();

  /** @returns false if the size of the last axis changed. */
  add(
    x: Float64Array,
    y: Float64Array,
    { samples, last }: { readonly samples: number; readonly last: number },
    isFill: ReturnType<typeof fills>,
  ): boolean {
    if (this.#sums === undefined || this.#counts === undefined) {
      [this.#sums, this.#counts] = [new Float64Array(x.length / samples), new Float64Array(x.length / samples)];
      this.#least = new Float64Array(x.length / samples).fill(Number.POSITIVE_INFINITY);
      this.#most = new Float64Array(x.length / samples).fill(Number.NEGATIVE_INFINITY);
    }
    // Texts of different lengths share one mean over all positions.
    if (this.#sums.length !== x.length / samples) {
      if (this.#sums.length % last !== 0) return false;
      const sum = (a: number, b: number): number => a + b;
      [this.#sums, this.#counts] = [folded(this.#sums, last, sum), folded(this.#counts, last, sum)];
      [this.#least, this.#most] = [folded(this.#least, last, Math.min), folded(this.#most, last, Math.max)];
    }
    const [sums, counts] = [this.#sums, this.#counts];
    const width = sums.length;
    this.samples += samples;
    for (let at = 0; at < x.length; at++) {
      const [own = Number.NaN, other = Number.NaN] = [x[at], y[at]];
      if (!Number.isFinite(own) || isFill(own, other)) continue;
      this.finite++;
      if (own === other) this.equal++;
      if (!Number.isFinite(other)) {
        this.broken++;
        continue;
      }
      const place = at % width;
      sums[place] = (sums[place] ?? 0) + own;
      counts[place] = (counts[place] ?? 0) + 1;
      this.#least[place] = Math.min(this.#least[place] ?? own, own);
      this.#most[place] = Math.max(this.#most[place] ?? own, own);
      this.error.add(own, other);
    }
    return true;
  }

  get variation(): number {
    return Math.max(0, variation(this.error.signal, this.#sums ?? [], this.#counts ?? []));
  }

  get change(): number {
    return this.#most.reduce((largest, most, place) => Math.max(largest, most - (this.#least[place] ?? most)), 0);
  }

  get decibels(): number {
    return decibels(this.variation, this.error.noise);
  }
}

/** Reduces all axes but the last. */
function folded(
  values: Float64Array,
  width: number,
  join: (a: number, b: number) => number,
): Float64Array<ArrayBuffer> {
  const joined = Float64Array.from(values.subarray(0, width));
  for (let at = width; at < values.length; at++)
    joined[at % width] = join(joined[at % width] ?? Number.NaN, values[at] ?? Number.NaN);
  return joined;
}
