/** Checks without data whether a changed model computes its original's function. It is lenient, because models are not made for random inputs. */

import { dataDependentSizes } from "../../core/analysis/data-dependent-sizes.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Engine } from "../../core/engine/index.ts";
import { Miss, PithError, stripPeriod } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { mainOutputName } from "../../runtime/metrics/output.ts";
import { ResultFails } from "../../runtime/run/load-check.ts";
import { type Pair, type PairedRuns, pairedRuns } from "../../runtime/run/paired-runs.ts";
import { pairedSamples } from "../../runtime/run/paired-samples.ts";
import { isNumbers, nothingCompared, OutputComparison, type OutputLikeness } from "./output-distance.ts";
import { boundsOf, withSaturating } from "./saturation.ts";

/** Finding for the output that differs most; among equals, for one that the inputs move. */
export interface Likeness extends OutputLikeness {
  /** Name of the output if the model has several, or of the compared internal value: "map before saturation". */
  readonly output?: string;
  readonly outputs?: number;
  /** Outputs that are not numeric, or whose dimensions depend on the values. */
  readonly uncompared?: readonly string[];
  /** Operators that this runtime lacks and that were removed for the comparison. */
  readonly without?: readonly string[];
  /** Present if samples of data were compared instead of random inputs. */
  readonly ofData?: true;
}

export interface AlikeOptions {
  /** The only output whose values are compared; default: all. */
  readonly output?: string | undefined;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total?: number) => void;
}

/** Numbers of samples for comparing values, and for comparing names, types and dimensions. */
const [maxSamples, samplesOfForm] = [32, 2];

export type ComparedValues = "all" | "all but the answer" | "none";

/** With fewer samples, all predictions can be right or wrong by chance, so raw outputs tell more. */
export const fewSamples = 30;
export const fewestSame = 0.5;

/**
 * Checks whether a changed model still computes the same function, on 4 to 32 random inputs depending on the model's cost.
 * @returns a sentence if they cannot be compared.
 * @throws PithError E_ENGINE if the original loads and the result does not, E_DATA if the original has no such output, E_STOPPED on the signal.
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
      const { worst = noNumbers, saturated } = compareRuns("random inputs", runs, options);
      const isWhole = typeof worst === "string" || runs.without.length === 0;
      return { found: isWhole ? worst : { ...worst, without: runs.without }, saturated };
    };
    const { found, saturated } = await compared(original, result, { output });
    if (saturated.length === 0) return found;
    // If an output saturates for all inputs, the input of its last operator tells more.
    const models = withSaturating(original, result, saturated);
    if (models.before.size === 0) return found;
    const again = await compared(models.original, models.other, { output, before: models.before });
    return typeof again.found === "object" ? again.found : found;
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_ENGINE_MISSING") return stripPeriod(error.message);
    if (!(error instanceof ResultFails) || error.loading) throw error;
    const { cause } = error;
    const lost = `the result does not run: ${stripPeriod(cause instanceof Error ? cause.message : error.message)}`;
    return { ...nothingCompared, lost };
  }
}

const noNumbers = "the model has no numeric output";

export function lostIn(likeness: Likeness | string | undefined): string | undefined {
  return typeof likeness === "object" ? likeness.lost : undefined;
}

/**
 * Compares outputs on samples of data.
 * @returns undefined if no values were compared and no name, type or dimension differs; a sentence if values cannot be compared.
 * @throws PithError E_DATA if the data does not fit.
 */
export async function compareOnSamples(
  engine: Engine,
  original: Model,
  result: Model,
  dataset: Dataset,
  { output, values = "all", seed = 0, signal, progress }: AlikeOptions & { readonly values?: ComparedValues } = {},
): Promise<Likeness | string | undefined> {
  const hasOthers = output === undefined && original.graph.outputs.length > 1;
  const runs = await pairedSamples(engine, original, result, dataset, {
    samples: values === "all" || (values !== "none" && hasOthers) ? maxSamples : samplesOfForm,
    ...(isIndexed(dataset) ? { shuffle: seed } : {}),
    signal,
    progress,
  });
  const { worst: found } = compareRuns("the samples", runs, { output, values });
  return typeof found === "object" ? { ...found, ofData: true } : found;
}

/** Returns a sentence about an output that is missing or has a different type or shape. @param data undefined: random inputs. */
export async function lostForm(
  engine: Engine,
  original: Model,
  result: Model,
  data: Dataset | undefined,
  { seed = 0, signal }: Pick<AlikeOptions, "seed" | "signal"> = {},
): Promise<string | undefined> {
  if (data !== undefined)
    return lostIn(await compareOnSamples(engine, original, result, data, { values: "none", seed, signal }));
  const runs = await pairedRuns(engine, original, result, { sizes: "one", samples: samplesOfForm, seed, signal });
  return runs instanceof Miss ? undefined : lostIn(compareRuns("random inputs", runs, { values: "none" }).worst);
}

export interface OutputsOptions {
  readonly output?: string | undefined;
  /** "all but the answer" leaves out the output that a metric evaluates. */
  readonly values?: ComparedValues;
  /** Internal value → the output that it replaces in the comparison. */
  readonly before?: ReadonlyMap<string, string>;
}

/** @param inputs name of the inputs in messages. */
export function compareRuns(
  inputs: string,
  { original, result, pairs, otherDraws }: PairedRuns,
  options: OutputsOptions = {},
): { readonly worst: Likeness | string | undefined; readonly saturated: readonly string[] } {
  const outputs = new Outputs(inputs, original, result, otherDraws === undefined ? options : { values: "none" });
  for (const pair of pairs) outputs.add(pair);
  return { worst: outputs.worst ?? otherDraws, saturated: outputs.saturated };
}

class Outputs {
  readonly #inputs: string;
  readonly #original: Model;
  readonly #options: OutputsOptions;
  readonly #missing: readonly string[];
  #count = 0;
  #all: readonly OutputComparison[] = [];

  /** @param original shows which sizes depend on values (boxes that are kept) and which operators compute the outputs. */
  constructor(inputs: string, original: Model, result: Model, options: OutputsOptions = {}) {
    this.#inputs = inputs;
    this.#original = original;
    this.#options = options;
    const names = new Set(result.graph.outputs.map(({ name }) => name));
    this.#missing = original.graph.outputs.flatMap(({ name }) => (names.has(name) ? [] : [name]));
  }

  add(pair: Pair): void {
    if (this.#all.length === 0) this.#all = this.#begin(pair.expected);
    for (const output of this.#all) output.add(pair);
  }

  #begin(expected: Batch): readonly OutputComparison[] {
    const { output: asked, values = "all", before = new Map<string, string>() } = this.#options;
    const replaced = new Set(before.values());
    const all = Object.entries(expected).filter(([name]) => !replaced.has(name));
    this.#count = all.length + this.#missing.length;
    const answer = all.length > 0 ? mainOutputName(expected, asked) : undefined;
    const beside = all.some(([, dense]) => isNumbers(dense));
    const isOpen = dataDependentSizes(this.#original);
    const inference = infer(this.#original);
    const isCompared = (name: string): boolean => {
      if (values === "all") return asked === undefined || (before.get(name) ?? name) === asked;
      return values !== "none" && asked === undefined && name !== answer;
    };
    return all.map(([name, dense]) => {
      const value = this.#original.graph.value(name);
      const bounds = value && boundsOf(value, inference);
      const kind = { isNumbers: isNumbers(dense), beside, isOpen: isOpen(name), bounds };
      return new OutputComparison(name, this.#inputs, kind, isCompared(name));
    });
  }

  get saturated(): readonly string[] {
    return this.#all.flatMap((output) => (output.isSaturated ? [output.name] : []));
  }

  /** Finding for the output that differs most; undefined if no values were compared and nothing else differs. */
  get worst(): Likeness | string | undefined {
    const [missing] = this.#missing;
    if (missing !== undefined)
      return { ...nothingCompared, lost: `the result has no output "${missing}"`, otherForm: true };
    let reason = this.#all.length === 0 ? noNumbers : undefined;
    const findings: OutputFinding[] = [];
    const uncompared: string[] = [];
    for (const output of this.#all) {
      const { found } = output;
      if (typeof found === "object") findings.push({ of: output, ...found });
      else if (output.comparesValues) uncompared.push(output.name);
      reason = typeof found === "string" ? found : reason;
    }
    const [worst] = findings.toSorted((a, b) => rank(a) - rank(b) || a.signalToNoise - b.signalToNoise);
    if (worst === undefined) return reason;
    const { of, lost, ...own } = worst;
    const figures = { ...own, samples: Math.max(...findings.map(({ samples }) => samples)) };
    if (this.#count === 1 && this.#options.before === undefined) return { ...figures, lost };
    return {
      ...figures,
      lost: lost === undefined || figures.otherForm ? lost : `output "${of.name}": ${lost}`,
      output: of.name,
      outputs: findings.length,
      ...(uncompared.length === 0 ? {} : { uncompared }),
    };
  }
}

interface OutputFinding extends OutputLikeness {
  readonly of: OutputComparison;
}

/** Orders findings: lost outputs, then different outputs, then outputs that the inputs move. */
function rank({ lost, relativeError, unmoved, of }: OutputFinding): number {
  if (lost !== undefined) return 0;
  const differs = relativeError !== 0;
  return (differs ? 1 : 5) + (of.isBeside ? 1 : 0) + (unmoved === undefined ? 0 : 2);
}
