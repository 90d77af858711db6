/**
 * Whether a changed model still does what its original does, where there is no data: both run on the same inputs, drawn from a seed.
 *
 * Such inputs are nothing that a model was made for, so little is asked. A result is lost if it does not run, or if one of its
 * outputs is lost. Where random inputs do not move the original, only a result that is far from it is refused.
 */

import { dataDependentSizes } from "../analysis/data-dependent-sizes.ts";
import { infer, isRandom } from "../analysis/infer.ts";
import { isIndexed } from "../data/indexed.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/index.ts";
import { clause, Miss, PithError } from "../errors.ts";
import { allNodes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Batch } from "../tensor/types.ts";
import { ResultFails } from "./load-check.ts";
import { mainOutputName } from "./output.ts";
import { isNumbers, OutputComparison, type OutputLikeness } from "./output-distance.ts";
import { overSamples } from "./over-samples.ts";
import { namesInBoth, pairedRuns } from "./paired-runs.ts";
import { boundsOf, withSaturating } from "./saturation.ts";

/** What holds of the output that differs most; of several that are equal, of one that the inputs move. */
export interface Likeness extends OutputLikeness {
  /** The output that the figures are of, where the model has several, or what goes into it tells more: "map before saturation". */
  readonly output?: string;
  /** How many outputs were compared, where one is named. */
  readonly outputs?: number;
  /** Outputs that could not be compared: their dimensions depend on what they find, or they are no numbers. */
  readonly uncompared?: readonly string[];
  /** Operators that this runtime does not have: the rest was compared. */
  readonly without?: readonly string[];
  /** Of samples of data; else of random inputs. */
  readonly ofData?: true;
}

export interface AlikeOptions {
  /** The only output to compare; else all. */
  readonly output?: string | undefined;
  /** The seed of the random inputs (0). */
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total?: number) => void;
}

/** Of fewer samples the answers may all be right by chance, or wrong: the numbers behind them tell more. */
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
    const compared = async (first: Model, second: Model, options: OutputsOptions) => {
      const runs = await pairedRuns(engine, first, second, { sizes: "one", seed, signal, progress });
      if (runs instanceof Miss) return { found: runs.reason, saturated: [] };
      const outputs = new Outputs("random inputs", first, options);
      for (const { feeds, expected, got } of runs.pairs) outputs.add(feeds, expected, got);
      const { worst, saturated } = outputs;
      const isWhole = typeof worst === "string" || runs.without.length === 0;
      return { found: isWhole ? worst : { ...worst, without: runs.without }, saturated };
    };
    const { found, saturated } = await compared(original, result, { asked: output });
    if (saturated.length === 0) return found;
    // Of what is at an end for all inputs, what goes in tells more.
    const models = withSaturating(original, result, saturated);
    if (models.before.size === 0) return found;
    const again = await compared(models.original, models.other, { asked: output, before: models.before });
    return typeof again.found === "string" ? found : again.found;
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_ENGINE_MISSING") return clause(error.message);
    if (!(error instanceof ResultFails) || error.loading) throw error;
    const { cause } = error;
    const lost = `the result does not run: ${clause(cause instanceof Error ? cause.message : error.message)}`;
    return { samples: 0, signalToNoise: Number.NaN, relativeError: Number.NaN, lost };
  }
}

/** Why the result is no longer the same function, where that was found. */
export function lostIn(likeness: Likeness | string | undefined): string | undefined {
  return typeof likeness === "object" ? likeness.lost : undefined;
}

/** Samples that outputs are compared on beside a metric. */
const mostSamples = 32;

/**
 * Whether the outputs still say what those of the original do, on samples of data.
 * @param others of the outputs beside the answer, which no metric judges; else of all, or of the one that is asked for.
 * @returns undefined where there are no others, or one output was asked for; a sentence if they cannot be compared.
 * @throws PithError E_DATA if the data does not fit.
 */
export async function compareOnSamples(
  engine: Engine,
  original: Model,
  result: Model,
  dataset: Dataset,
  { output, others = false, seed = 0, signal, progress }: AlikeOptions & { readonly others?: boolean } = {},
): Promise<Likeness | string | undefined> {
  const observed = namesInBoth(original, result);
  if (others && (output !== undefined || observed.length < 2)) return undefined;
  if ([...allNodes(original.graph)].some((node) => isRandom(node))) return "the model draws random numbers";
  const outputs = new Outputs("the samples", original, { asked: output, others });
  await overSamples(
    engine,
    [original, result].map((model) => ({ model, observed })),
    dataset,
    {
      samples: mostSamples,
      ...(isIndexed(dataset) ? { shuffle: seed } : {}),
      signal,
      progress,
    },
    ([expected = {}, got = {}], rows) => outputs.add(rows, expected, got),
  );
  const found = outputs.worst;
  return typeof found === "string" ? found : { ...found, ofData: true };
}

export interface OutputsOptions {
  /** The only output to compare. */
  readonly asked?: string | undefined;
  /** All but the answer. */
  readonly others?: boolean;
  /** Output → the output that it is compared in place of. */
  readonly before?: ReadonlyMap<string, string>;
}

/** The outputs of two models that are held against each other, run by run. */
export class Outputs {
  readonly #inputs: string;
  readonly #original: Model;
  readonly #options: OutputsOptions;
  #count = 0;
  #answer: string | undefined;
  #all: readonly OutputComparison[] | undefined;

  /**
   * @param inputs what the sentences call the inputs.
   * @param original says which sizes depend on the numbers that are fed, of boxes that are kept, and which operators make the outputs.
   */
  constructor(inputs: string, original: Model, options: OutputsOptions = {}) {
    this.#inputs = inputs;
    this.#original = original;
    this.#options = options;
  }

  add(feeds: Batch, expected: Batch, got: Batch): void {
    this.#all ??= this.#begin(expected);
    for (const output of this.#all) output.add(feeds, expected, got);
  }

  #begin(expected: Batch): readonly OutputComparison[] {
    const { asked, others = false, before = new Map<string, string>() } = this.#options;
    const replaced = new Set(before.values());
    const all = Object.entries(expected).filter(([name]) => !replaced.has(name));
    this.#count = all.length;
    if (all.length > 0) this.#answer = mainOutputName(expected, asked);
    const beside = all.some(([, dense]) => isNumbers(dense));
    const isOpen = dataDependentSizes(this.#original);
    const inference = infer(this.#original);
    return all
      .filter(([name]) =>
        others ? name !== this.#answer : (before.get(name) ?? name) === (asked ?? before.get(name) ?? name),
      )
      .map(([name, dense]) => {
        const value = this.#original.graph.value(name);
        const bounds = value && boundsOf(value, inference);
        const kind = { isNumbers: isNumbers(dense), beside, isOpen: isOpen(name), bounds };
        return new OutputComparison(name, this.#inputs, kind);
      });
  }

  /** Outputs whose saturating operator is at an end for all inputs. */
  get saturated(): readonly string[] {
    return (this.#all ?? []).flatMap((output) => (output.isSaturated ? [output.name] : []));
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
    if (this.#count === 1 && this.#options.before === undefined) return { ...figures, lost };
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
