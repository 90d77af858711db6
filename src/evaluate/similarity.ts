/**
 * Whether a changed model still does what its original does, where there is no data: both run on the same inputs, drawn from a seed.
 *
 * Such inputs are nothing that a model was made for, so little is asked. A result is lost if it does not run, or if a constant would be
 * nearer to the original: with outputs x of the original, y of the result and the mean m of x over the samples, Σ (x − y)² ≥ Σ (x − m)².
 * Of models that name classes it is lost too if it names others (`baseline.ts`) and explains less than half of how the scores vary.
 * Where random inputs do not move the original, neither says anything: then nothing is refused, and how far the two are apart is all there is.
 */
import type { Engine } from "../engine/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { dimsText, sameDims } from "../tensor/dims.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { decibels } from "./against.ts";
import { answers } from "./answers.ts";
import { knowledgeOf, lostKnowledge } from "./baseline.ts";
import { ResultFails } from "./loads.ts";
import { figure } from "./numbers.ts";
import { answerName } from "./output.ts";
import { type PairedRuns, pairedRuns, samplesIn } from "./paired-runs.ts";
import { endless } from "./tensor-difference.ts";
import { Variety } from "./variety.ts";

export interface Likeness {
  /** Random inputs that both ran on. */
  readonly samples: number;
  /** In decibels: how the original's output varies over the samples, against how far the result's is from it. */
  readonly signalToNoise: number;
  /** How far the result's output is from the original's: the root of the mean square, relative to that of the original. */
  readonly relativeError: number;
  /** Why the result is no longer the same function. */
  readonly lost: string | undefined;
  /** The random inputs hardly move the original: its outputs are all equal, or nearly, or all name one class. What is equal there shows little. */
  readonly unmoved?: "equal" | "nearly equal" | "one class";
  /** Operators that this runtime does not have: the rest was compared. */
  readonly without?: readonly string[];
}

export interface AlikeOptions {
  /** The output that is the answer; else "logits", or the first of floats. */
  readonly output?: string | undefined;
  /** The seed of the random inputs (0). */
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/** Fewer samples of data may all be answered wrong by chance, or right: random inputs are asked as well. */
export const fewSamples = 30;
/** An output that varies by less than this share of its power says next to nothing of its input. */
const leastVariation = 1e-3;
/** Noise below this share of the output's power is what rounding makes. */
const rounding = 0.01;
/** Below so many decibels less than half of how the original varies is left. */
export const weakLikeness = 3;

/**
 * Whether a changed model still does what its original does, where there are no samples: up to 32 random inputs, fewer of dear models but four at
 * least, and both models' answers. Source: the header of this file.
 * @returns a sentence if they cannot be compared.
 * @throws PithError E_ENGINE if the runtime loads the original and refuses the result, E_DATA if the original has no such output, E_STOPPED on
 * the signal.
 * @example
 * const likeness = await compareFunction(createEngine(), await open("model.onnx"), await open("model.int8.onnx"));
 * if (typeof likeness === "object" && likeness.lost !== undefined) console.warn(likeness.lost);
 */
export async function compareFunction(
  engine: Engine,
  original: Model,
  result: Model,
  { output, seed = 0, signal, progress }: AlikeOptions = {},
): Promise<Likeness | string> {
  try {
    const runs = await pairedRuns(engine, original, result, { sizes: "one", seed, signal, progress });
    return runs instanceof Miss ? runs.reason : judge(runs, output);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_ENGINE_MISSING") return bare(error.message);
    if (!(error instanceof ResultFails) || error.loading) throw error;
    const { cause } = error;
    return notRun(`the result does not run: ${bare(cause instanceof Error ? cause.message : error.message)}`);
  }
}

function notRun(lost: string, samples = 0): Likeness {
  return { samples, signalToNoise: Number.NaN, relativeError: Number.NaN, lost };
}

/** The output that is held against the original's: the answer, or the first where none is of floats. */
function answerOf(outputs: Batch, output: string | undefined): Dense | undefined {
  if (output !== undefined) return outputs[answerName(outputs, output)];
  try {
    return outputs[answerName(outputs)];
  } catch {
    return undefined;
  }
}

function judge({ pairs, without }: PairedRuns, output: string | undefined): Likeness | string {
  const powers = new Powers();
  const variety = new Variety();
  const said = answers(output);
  const named: [before: number[], after: number[]] = [[], []];
  for (const { feeds, expected, got } of pairs) {
    variety.add(expected);
    const x = answerOf(expected, output);
    if (x === undefined) return "it has no output of numbers";
    const y = answerOf(got, output);
    if (y === undefined || !sameDims(x.dims, y.dims)) {
      const lost = `its output is ${dimsText(y?.dims)} instead of ${dimsText(x.dims)}`;
      return notRun(`on random inputs ${lost}`, powers.samples);
    }
    const end = isFloat(x.type) ? endless[x.type] : Number.POSITIVE_INFINITY;
    if (!powers.add(toFloat64(x), toFloat64(y), samplesIn(feeds, x), end))
      return "the dimensions of its output depend on what it is fed";
    for (const [which, batch] of [expected, got].entries()) {
      const rows = said.rows(batch, feeds);
      named[which]?.push(...rows.filter((_, at) => at % 2 === 1));
    }
  }
  if (powers.finite === 0) return "its output is no number on random inputs";
  const [known, disagrees] = disagreement(named);
  const unmoved = variety.constant
    ? "equal"
    : powers.variation < leastVariation * powers.power
      ? "nearly equal"
      : known?.chance === 1
        ? "one class"
        : undefined;
  return {
    samples: powers.samples,
    signalToNoise: powers.decibels,
    relativeError: powers.noise === 0 ? 0 : Math.sqrt(powers.noise / powers.power),
    lost: lostOf(powers, disagrees, unmoved),
    ...(unmoved === undefined ? {} : { unmoved }),
    ...(without.length === 0 ? {} : { without }),
  };
}

/** What the original names, and that the result names other classes. */
function disagreement([before, after]: readonly [number[], number[]]): readonly [
  known: ReturnType<typeof knowledgeOf>,
  disagrees: string | undefined,
] {
  const none = new Float64Array(before.length).fill(-1);
  const known = knowledgeOf({ given: Float64Array.from(before), labels: none });
  return [known, known && lostKnowledge(known, { given: Float64Array.from(after), labels: none })];
}

function lostOf(powers: Powers, disagrees: string | undefined, unmoved: Likeness["unmoved"]): string | undefined {
  if (powers.broken > 0) return "on random inputs the result is no number where the original is one";
  if (unmoved !== undefined) return undefined;
  if (disagrees !== undefined && powers.noise >= powers.variation / 2) return `on random inputs ${disagrees}`;
  if (powers.noise < powers.variation || powers.noise < rounding * powers.power) return undefined;
  const found = `signal to noise ${figure("dB", powers.decibels)}`;
  return `on ${powers.samples} random inputs the result is no nearer to the original than a constant would be (${found})`;
}

/** Sums over samples of what is finite in the original, and does not stand for infinity. */
class Powers {
  samples = 0;
  finite = 0;
  /** Elements that are finite in the original and not in the result. */
  broken = 0;
  noise = 0;
  power = 0;
  #sums: Float64Array | undefined;
  #counts: Float64Array | undefined;

  /**
   * @param end from where on numbers stand for infinity.
   * @returns false if samples are of another size than before.
   */
  add(x: Float64Array, y: Float64Array, samples: number, end: number): boolean {
    const width = x.length / samples;
    this.#sums ??= new Float64Array(width);
    this.#counts ??= new Float64Array(width);
    const [sums, counts] = [this.#sums, this.#counts];
    if (sums.length !== width) return false;
    this.samples += samples;
    for (let at = 0; at < x.length; at++) {
      const [own = Number.NaN, other = Number.NaN] = [x[at], y[at]];
      if (!Number.isFinite(own) || Math.abs(own) >= end) continue;
      this.finite++;
      if (!Number.isFinite(other)) {
        this.broken++;
        continue;
      }
      const place = at % width;
      sums[place] = (sums[place] ?? 0) + own;
      counts[place] = (counts[place] ?? 0) + 1;
      this.power += own * own;
      this.noise += (own - other) ** 2;
    }
    return true;
  }

  /** Σ (x − m)² = Σ x² − Σ (Σ x)² / n. */
  get variation(): number {
    let means = 0;
    for (const [place, sum] of (this.#sums ?? []).entries())
      means += sum ** 2 / Math.max(1, this.#counts?.[place] ?? 1);
    return Math.max(0, this.power - means);
  }

  get decibels(): number {
    return decibels(this.variation, this.noise);
  }
}

function bare(sentence: string): string {
  return sentence.replace(/\.$/, "");
}
