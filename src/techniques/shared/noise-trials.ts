/** Changes that stay only if they reduce the noise of the outputs. */
import { bytesOfBatch, type Dataset, isIndexed } from "#batches";
import { type Batch, Miss, type Model, snapshot } from "#ir";
import type { Context } from "#pass";
import { OutputNoise } from "../../runtime/noise/output-noise.ts";
import { inputsFor } from "../../runtime/paired/paired-runs.ts";
import { areBatches, runOverSamples, type Samples } from "../../runtime/run/run-over-samples.ts";

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
      const inputsOrMiss = await inputsFor({ engine, original, result: candidate }, await data(), { seed, signal });
      if (inputsOrMiss instanceof Miss) return undefined;
      inputs = inputsOrMiss.samples;
    }
    const noise = new OutputNoise(original);
    const models = [candidate, ...(knownOutputs === undefined ? [original] : [])].map((model) => ({ model, observed }));
    let keptOutputs: Batch[] | undefined = [];
    let [index, bytes] = [0, 0];
    await runOverSamples(engine, models, inputs, { signal, samples, optimize: true }, ([after, fresh]) => {
      const outputs = knownOutputs?.[index++] ?? fresh ?? {};
      bytes += bytesOfBatch(outputs);
      if (bytes > maxKeptBytes) keptOutputs = undefined;
      keptOutputs?.push(outputs);
      noise.add(outputs, after ?? {});
    });
    // A stream yields other samples each time.
    if (areBatches(inputs) || isIndexed(inputs)) knownOutputs = keptOutputs;
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
