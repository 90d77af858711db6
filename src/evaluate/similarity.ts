/**
 * Whether a changed model still does what its original does, where there is no data: both run on the same inputs, drawn from a seed.
 *
 * Such inputs are nothing that a model was made for, so little is asked. A result is lost if it does not run, or if a constant would be
 * nearer to the original: with outputs x of the original, y of the result and the mean m of x over the samples, Σ (x − y)² ≥ Σ (x − m)²,
 * rounding aside. Of models that name classes it is lost too if it names others (`baseline.ts`) and explains less than half of how
 * the scores vary.
 */
import type { Engine, Session } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { dimsText, sameDims } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { decibels } from "./against.ts";
import { answers } from "./answers.ts";
import { knowledgeOf, lostKnowledge } from "./baseline.ts";
import { answerName } from "./output.ts";
import { guessedSizes, randomInputs } from "./random-inputs.ts";
import { difference, endless } from "./tensor-difference.ts";
import { Variety } from "./variety.ts";

export interface Likeness {
  /** Random inputs that both ran on. */
  readonly samples: number;
  /** In decibels: how the original's output varies over the samples, against how far the result's is from it. */
  readonly signalToNoise: number;
  /** Why the result is no longer the same function. */
  readonly lost: string | undefined;
  /** The original's outputs say the same to every input: that the result's do shows little. */
  readonly constant?: true;
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

/** Random samples that are wanted, and the runs that they may take at least and at most. */
const [samplesWanted, fewestRuns, mostRuns] = [32, 4, 32];
/** What open dimensions other than the batch are taken as, from what runs most often: sequences and small pictures. */
const lengths = [16, 32, 64, 224, 256, 320, 640, 8, 7, 4, 3, 2, 1, 128, 512, 576];
/** Noise below this share of the output's power is what rounding makes. */
const rounding = 0.01;

interface Run {
  readonly feeds: Batch;
  readonly outputs: Batch;
}

/**
 * Whether a changed model still does what its original does, where there are no samples: 32 random inputs or more, and both models' answers.
 * Source: the header of this file.
 * @returns a sentence if they cannot be compared.
 * @throws PithError E_ENGINE if the runtime refuses the original, E_DATA if it has no such output; the signal's reason once that is aborted.
 * @example
 * const likeness = await compareFunction(createEngine(), await open("model.onnx"), await open("model.int8.onnx"));
 * if (typeof likeness === "object" && likeness.lost !== undefined) console.warn(likeness.lost);
 */
export async function compareFunction(
  engine: Engine,
  original: Model,
  result: Model,
  options: AlikeOptions = {},
): Promise<Likeness | string> {
  const runs = await withSession(engine, original, (session) => runsOf(session, original, options)).catch((error) => {
    if (error instanceof PithError && error.code === "E_ENGINE_MISSING") return bare(error.message);
    throw error;
  });
  if (typeof runs === "string") return runs;
  let got: readonly Batch[];
  try {
    got = await withSession(engine, result, async (session) => {
      const found: Batch[] = [];
      for (const { feeds } of runs) {
        options.signal?.throwIfAborted();
        found.push(await session.run(feeds));
        options.progress?.(found.length, runs.length);
      }
      return found;
    });
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    return { samples: 0, signalToNoise: Number.NaN, lost: `the result does not run: ${bare(error.message)}` };
  }
  return judge(runs, got, options.output);
}

async function withSession<T>(engine: Engine, model: Model, body: (session: Session) => Promise<T>): Promise<T> {
  const session = await engine.load(model);
  try {
    return await body(session);
  } finally {
    await session.release();
  }
}

/** What the original says to inputs of the first sizes that it runs on. */
async function runsOf(
  session: Session,
  original: Model,
  { output, seed = 0, signal }: AlikeOptions,
): Promise<readonly Run[] | string> {
  const numbers = random(seed, "random inputs");
  let refused = "";
  for (const length of lengths) {
    for (const batch of [8, 2, 1]) {
      signal?.throwIfAborted();
      const draw = (): Batch =>
        randomInputs(original.graph.feeds, guessedSizes(original, new Map(), batch, length), numbers);
      const feeds = draw();
      const strange = original.graph.feeds.find(({ name }) => feeds[name] === undefined);
      if (strange !== undefined) return `no random numbers can be drawn for its input "${strange.name}"`;
      const outputs = await runOrReason(session, feeds);
      if (typeof outputs === "string") {
        refused = outputs;
        continue;
      }
      const again = await session.run(feeds);
      if (Object.entries(outputs).some(([name, dense]) => difference(dense, again[name]) > 0))
        return "it draws random numbers";
      const runs: Run[] = [{ feeds, outputs }];
      const wanted = Math.ceil(samplesWanted / samplesIn(feeds, answerOf(outputs, output)));
      for (let left = Math.min(mostRuns, Math.max(fewestRuns, wanted)) - 1; left > 0; left--) {
        signal?.throwIfAborted();
        const more = draw();
        const said = await runOrReason(session, more);
        if (typeof said !== "string") runs.push({ feeds: more, outputs: said });
      }
      return runs;
    }
  }
  return `it ran on none of the random inputs: ${refused}`;
}

async function runOrReason(session: Session, feeds: Batch): Promise<Batch | string> {
  try {
    return await session.run(feeds);
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    return bare(error.message);
  }
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

/** Inputs and answer count samples along axis 0, or one run is one sample. */
function samplesIn(feeds: Batch, answer: Dense | undefined): number {
  const [first] = Object.values(feeds);
  const [count = 1] = answer?.dims ?? [];
  return count > 0 && first?.dims[0] === count ? count : 1;
}

function judge(runs: readonly Run[], got: readonly Batch[], output: string | undefined): Likeness | string {
  const powers = new Powers();
  const variety = new Variety();
  const said = answers(output);
  const named: [before: number[], after: number[]] = [[], []];
  for (const [index, { feeds, outputs }] of runs.entries()) {
    variety.add(outputs);
    const [x, result] = [answerOf(outputs, output), got[index] ?? {}];
    if (x === undefined) return "it has no output of floats";
    const y = answerOf(result, output);
    if (y === undefined || !sameDims(x.dims, y.dims)) {
      const lost = `its output is ${dimsText(y?.dims)} instead of ${dimsText(x.dims)}`;
      return { samples: powers.samples, signalToNoise: Number.NaN, lost: `on random inputs ${lost}` };
    }
    const end = isFloat(x.type) ? endless[x.type] : Number.POSITIVE_INFINITY;
    if (!powers.add(toFloat64(x), toFloat64(y), samplesIn(feeds, x), end))
      return "the dimensions of its output depend on what it is fed";
    for (const [which, batch] of [outputs, result].entries()) {
      const rows = said.rows(batch, feeds);
      named[which]?.push(...rows.filter((_, at) => at % 2 === 1));
    }
  }
  if (powers.finite === 0) return "its output is no number on random inputs";
  return {
    samples: powers.samples,
    signalToNoise: powers.decibels,
    lost: lostOf(powers, named),
    ...(variety.constant ? { constant: true } : {}),
  };
}

function lostOf(powers: Powers, [before, after]: readonly [number[], number[]]): string | undefined {
  if (powers.broken > 0) return "on random inputs the result is no number where the original is one";
  const none = new Float64Array(before.length).fill(-1);
  const known = knowledgeOf({ given: Float64Array.from(before), labels: none });
  const disagrees =
    known === undefined ? undefined : lostKnowledge(known, { given: Float64Array.from(after), labels: none });
  if (disagrees !== undefined && powers.noise >= powers.variation / 2) return `on random inputs ${disagrees}`;
  if (powers.noise < powers.variation || powers.noise < rounding * powers.power || powers.noise === 0) return undefined;
  const found = `signal to noise ${powers.decibels.toFixed(1)} dB`;
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
