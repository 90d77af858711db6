/** Output noise of a model: the power of its difference from the original's outputs, relative to their power. */

import { type OutputPart, outputPartsOf } from "#analysis";
import { bytesOfBatch, type Dataset, isIndexed } from "#batches";
import { type Batch, type Dense, getOrAdd, isFloat, Miss, type Model, snapshot } from "#ir";
import type { Context } from "#pass";
import { inputsFor } from "../paired/paired-runs.ts";
import { Difference, worstFirst } from "../run/difference.ts";
import { areBatches, runOverSamples, type Samples } from "../run/run-over-samples.ts";

/** Returns undefined if the noise cannot be measured. */
export type NoiseMeter = (candidate: Model) => Promise<number | undefined>;

/** Maximum bytes of the original's outputs that are kept for the next candidate. */
const maxKeptBytes = 2 ** 26;

/** Measures Σ noise / signal over parts of float outputs, on samples of one data set. @param data undefined: random inputs. */
export function noiseMeter(
  original: Model,
  data: () => Promise<Dataset | undefined>,
  { engine, seed, signal }: Pick<Context, "engine" | "seed" | "signal">,
  samples: number,
): NoiseMeter {
  const observed = original.graph.outputs.map(({ name }) => name);
  let inputs: Samples | undefined;
  let knownOutputs: readonly Batch[] | undefined;
  return async (candidate) => {
    if (inputs === undefined) {
      const prepared = await inputsFor({ engine, original, result: candidate }, await data(), { seed, signal });
      if (prepared instanceof Miss) return undefined;
      inputs = prepared.samples;
    }
    const noise = new OutputNoise(original);
    const models = [candidate, ...(knownOutputs === undefined ? [original] : [])].map((model) => ({ model, observed }));
    let kept: Batch[] | undefined = [];
    let [index, bytes] = [0, 0];
    await runOverSamples(engine, models, inputs, { signal, samples, optimize: true }, ([after, fresh]) => {
      const outputs = knownOutputs?.[index++] ?? fresh ?? {};
      bytes += bytesOfBatch(outputs);
      if (bytes > maxKeptBytes) kept = undefined;
      kept?.push(outputs);
      noise.add(outputs, after ?? {});
    });
    // A stream yields other samples each time.
    if (areBatches(inputs) || isIndexed(inputs)) knownOutputs = kept;
    return Number.isNaN(noise.sum) ? Number.POSITIVE_INFINITY : noise.sum;
  };
}

/** Makes a change in place and undoes it if the noise does not decrease enough. @returns the gain in words. */
type RunTrial = (change: () => Promise<boolean>) => Promise<string | undefined>;

/** @param minGain Minimum relative reduction of the noise. */
export function createTrials(model: Model, noiseOf: NoiseMeter, minGain: number): RunTrial {
  let before: number | undefined;
  return async (change) => {
    const [restore, untouched] = [snapshot(model), model.clone()];
    const canStay = await change();
    // Measures only if something changed: a model may not run on random inputs.
    if (canStay) before ??= await noiseOf(untouched);
    const after = canStay ? await noiseOf(model) : undefined;
    if (before === undefined || after === undefined || after >= (1 - minGain) * before) {
      restore();
      return undefined;
    }
    const share = Math.round((1 - after / before) * 100);
    before = after;
    return `${share} % less error in the outputs`;
  };
}

/** Sums up the noise of float outputs. Each part of an output is divided by its own power. */
export class OutputNoise {
  readonly #original: Model;
  readonly #parts = new Map<string, readonly { readonly part: OutputPart; readonly difference: Difference }[]>();

  constructor(original: Model) {
    this.#original = original;
  }

  add(original: Batch, other: Batch): void {
    for (const [name, before] of Object.entries(original)) this.addValue(name, before, other[name]);
  }

  addValue(name: string, before: Dense | undefined, after: Dense | undefined): void {
    if (before === undefined || after === undefined || !isFloat(before.type)) return;
    const parts = getOrAdd(this.#parts, name, () =>
      outputPartsOf(this.#original, name, [before]).map((part) => ({ part, difference: new Difference() })),
    );
    for (const { part, difference } of parts) difference.addTensors(before, after, part);
  }

  /** The difference of the part with the lowest signal to noise. */
  get worst(): Difference {
    const differences = [...this.#parts.values()].flat().map(({ difference }) => difference);
    return worstFirst(differences, ({ signalToNoise }) => -signalToNoise)[0] ?? new Difference();
  }

  /** Σ noise / signal of the outputs that can be compared. */
  get sum(): number {
    const differences = [...this.#parts.values()].flat().filter(({ difference }) => difference.mismatch === undefined);
    return differences.reduce(
      (sum, { difference: { signal, noise, relativeNoise } }) => sum + (signal === 0 ? noise : relativeNoise),
      0,
    );
  }
}
