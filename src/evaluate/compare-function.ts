/**
 * Whether a changed model still does what its original does, where there is no data: both run on the same inputs, drawn from a seed.
 *
 * Such inputs are nothing that a model was made for, so little is asked. A result is lost if it does not run, or if one of its
 * outputs is lost. Where random inputs do not move the original, only a result that is far from it is refused.
 */

import { dataDependentSizes } from "../analysis/data-dependent-sizes.ts";
import { isIndexed } from "../data/indexed.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/index.ts";
import { clause, Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Batch } from "../tensor/types.ts";
import { ResultFails } from "./load-check.ts";
import { mainOutputName } from "./output.ts";
import { isNumbers, OutputComparison, type OutputLikeness } from "./output-distance.ts";
import { overSamples } from "./over-samples.ts";
import { namesInBoth, pairedRuns } from "./paired-runs.ts";

/** What holds of the output that differs most; of several that are equal, of one that the inputs move. */
export interface Likeness extends OutputLikeness {
  /** The output that the figures are of, where the model has several. */
  readonly output?: string;
  /** How many outputs were compared, where the model has several. */
  readonly outputs?: number;
  /** Outputs that could not be compared: their dimensions depend on what they find, or they are no numbers. */
  readonly uncompared?: readonly string[];
  /** Operators that this runtime does not have: the rest was compared. */
  readonly without?: readonly string[];
}

export interface AlikeOptions {
  /** The only output to compare; else all. */
  readonly output?: string | undefined;
  /** The seed of the random inputs (0). */
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total?: number) => void;
}

/** Fewer samples of data may all be answered wrong by chance, or right: random inputs are asked as well. */
export const fewSamples = 30;
/** The same for classes and indices: the share of equal elements. */
export const fewestSame = 0.5;

/**
 * Whether a changed model still does what its original does, where there are no samples: up to 32 random inputs, fewer of expensive models but four at
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
    if (runs instanceof Miss) return runs.reason;
    const outputs = new Outputs("random inputs", original, output);
    for (const { feeds, expected, got } of runs.pairs) outputs.add(feeds, expected, got);
    const found = outputs.worst;
    return typeof found === "string" || runs.without.length === 0 ? found : { ...found, without: runs.without };
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_ENGINE_MISSING") return clause(error.message);
    if (!(error instanceof ResultFails) || error.loading) throw error;
    const { cause } = error;
    return notRun(`the result does not run: ${clause(cause instanceof Error ? cause.message : error.message)}`);
  }
}

/** Why the result is no longer the same function, where that was found. */
export function lostIn(likeness: Likeness | string | undefined): string | undefined {
  return typeof likeness === "object" ? likeness.lost : undefined;
}

/** Samples that outputs are compared on which no metric judges. */
const otherSamples = 32;

/**
 * Whether the outputs beside the answer, which no metric judges, still say what those of the original do, on samples of data.
 * @returns undefined where there are none, or one output was asked for; a sentence if they cannot be compared.
 * @throws PithError E_DATA if the data does not fit.
 */
export async function compareOtherOutputs(
  engine: Engine,
  original: Model,
  result: Model,
  dataset: Dataset,
  { output, seed = 0, signal, progress }: AlikeOptions = {},
): Promise<Likeness | string | undefined> {
  const observed = namesInBoth(original, result);
  if (output !== undefined || observed.length < 2) return undefined;
  const outputs = new Outputs("the samples", original, undefined, true);
  await overSamples(
    engine,
    [original, result].map((model) => ({ model, observed })),
    dataset,
    {
      samples: otherSamples,
      ...(isIndexed(dataset) ? { shuffle: seed } : {}),
      signal,
      progress,
    },
    ([expected = {}, got = {}], rows) => outputs.add(rows, expected, got),
  );
  return outputs.worst;
}

function notRun(lost: string): Likeness {
  return { samples: 0, signalToNoise: Number.NaN, relativeError: Number.NaN, lost };
}

/** The outputs of two models that are held against each other, run by run. */
export class Outputs {
  readonly #inputs: string;
  readonly #original: Model;
  readonly #asked: string | undefined;
  readonly #others: boolean;
  #count = 0;
  #answer: string | undefined;
  #all: readonly OutputComparison[] | undefined;

  /**
   * @param inputs what the sentences call the inputs.
   * @param original says which sizes depend on the numbers that are fed: of boxes that are kept.
   * @param asked the only output to compare.
   * @param others all but the answer.
   */
  constructor(inputs: string, original: Model, asked?: string, others = false) {
    this.#inputs = inputs;
    this.#original = original;
    this.#asked = asked;
    this.#others = others;
  }

  add(feeds: Batch, expected: Batch, got: Batch): void {
    this.#all ??= this.#begin(expected);
    for (const output of this.#all) output.add(feeds, expected, got);
  }

  #begin(expected: Batch): readonly OutputComparison[] {
    const all = Object.entries(expected);
    this.#count = all.length;
    if (all.length > 0) this.#answer = mainOutputName(expected, this.#asked);
    const beside = all.some(([, dense]) => isNumbers(dense));
    const isOpen = dataDependentSizes(this.#original);
    return all
      .filter(([name]) => (this.#others ? name !== this.#answer : name === (this.#asked ?? name)))
      .map(([name, dense]) => {
        const kind = { isNumbers: isNumbers(dense), beside, isOpen: isOpen(name) };
        return new OutputComparison(name, this.#inputs, kind);
      });
  }

  get worst(): Likeness | string {
    const all = this.#all ?? [];
    let reason = "the model has no numeric output";
    const findings: OutputFinding[] = [];
    for (const output of all) {
      const { found } = output;
      if (typeof found === "string") reason = found;
      // How many things are found may depend on rounding: only of the answer that is a loss.
      else if (!output.isOther || output.name === this.#answer) findings.push({ of: output, ...found });
    }
    const [worst] = findings.toSorted((a, b) => rank(a) - rank(b) || a.signalToNoise - b.signalToNoise);
    if (worst === undefined) return reason;
    const { of, lost, ...own } = worst;
    const figures = { ...own, samples: Math.max(...findings.map(({ samples }) => samples)) };
    const compared = new Set(findings.map((one) => one.of.name));
    const rest = all.map(({ name }) => name).filter((name) => !compared.has(name));
    if (this.#count === 1) return { ...figures, lost };
    return {
      ...figures,
      lost: lost === undefined ? undefined : `output "${of.name}": ${lost}`,
      output: of.name,
      outputs: findings.length,
      ...(rest.length === 0 ? {} : { uncompared: rest }),
    };
  }
}

interface OutputFinding extends OutputLikeness {
  readonly of: OutputComparison;
}

/** What is lost comes first, then what differs, then what the inputs move. */
function rank({ lost, relativeError, unmoved, of }: OutputFinding): number {
  if (lost !== undefined) return 0;
  const differs = relativeError !== 0;
  return (differs ? 1 : 5) + (of.isBeside ? 1 : 0) + (unmoved === undefined ? 0 : 2);
}
